//! Authentication challenges of registries (RFC 9110, "WWW-Authenticate").

/// One challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token, which another server issues.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The challenges of a header, in order, without unknown schemes.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        // A word before `=` is the name of a parameter. A parameter without a challenge is ignored.
        let (Some(value), Some((_, parameters))) = (value, found.last_mut()) else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after.trim_start_matches('=');
            continue;
        };
        let (value, after) = self::value(value.trim_start_matches([' ', '\t']));
        parameters.push((word.to_ascii_lowercase(), value));
        rest = after;
    }
    found.into_iter().filter_map(|(scheme, parameters)| Challenge::of(&scheme, &parameters)).collect()
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

impl Challenge {
    fn of(scheme: &str, parameters: &[(String, String)]) -> Option<Self> {
        let parameter =
            |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match scheme {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service") }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn headers_are_read_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:pull,push""#;
        assert_eq!(parse(hub), [bearer("https://auth.docker.io/token", Some("registry.docker.io"))]);
        assert_eq!(parse(r#"Basic realm="a \"b\", c""#), [Challenge::Basic]);
        assert_eq!(parse("bearer realm = x , service=y"), [bearer("x", Some("y"))]);
        assert_eq!(
            parse(r#"Negotiate, Basic realm="x", Bearer realm="y""#),
            [Challenge::Basic, bearer("y", None)]
        );
        assert_eq!(parse("Negotiate dG9rZW4="), []);
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        for text in ["", " , ,", "=", "a=b", "Bearer", "Bearer service=x", "Bearer realm", "\"", "===,=\"\\"]
        {
            assert_eq!(parse(text), [], "{text}");
        }
        assert_eq!(parse("Bearer realm=\"open"), [bearer("open", None)]);
        assert_eq!(parse("Bearer realm=\"\\"), [bearer("", None)]);
    }
}
