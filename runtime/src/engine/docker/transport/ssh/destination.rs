//! The destination of ssh.

use tokio::process::Command;

/// Where an engine is, and the user to log in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super::super) struct Destination {
    /// `ssh`, except in tests.
    program: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// The engine's socket there, if it is not the one that `docker` finds.
    socket: Option<String>,
}

impl Destination {
    /// Parses what follows `ssh://`: `[user@]host[:port][/socket]`.
    pub(in super::super::super) fn parse(location: &str) -> Result<Self, String> {
        if location.contains(['?', '#']) {
            return Err("an ssh:// address has no `?` and no `#`".to_owned());
        }
        let (authority, path) = location.split_once('/').unwrap_or((location, ""));
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        if user.is_some_and(|user| user.contains(':')) {
            return Err("an ssh:// address has no password in it; ssh knows keys".to_owned());
        }
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (
                host,
                Some(port.strip_prefix(':').ok_or("an address in brackets goes on with `:` and a port")?),
            ),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| format!("`{port}` is no port"))).transpose()?;
        let user = user.map(decoded).transpose()?;
        // ssh would take them for options.
        for name in [Some(host), user.as_deref()].into_iter().flatten() {
            if name.is_empty() || name.starts_with('-') {
                return Err(format!(
                    "an ssh:// address names a user or a host `{name}`, which no one is called"
                ));
            }
        }
        let socket = decoded(path.trim_matches('/'))?;
        let socket = Some(socket).filter(|socket| !socket.is_empty()).map(|socket| format!("/{socket}"));
        Ok(Self { program: "ssh".to_owned(), user, host: host.to_owned(), port, socket })
    }

    /// Runs another program instead of `ssh`.
    #[cfg(test)]
    pub(in super::super) fn call(&mut self, program: &str) {
        program.clone_into(&mut self.program);
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Nobody is asked for passwords: a hundred connections would ask a hundred times.
        command.args(["-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-T"]);
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", &self.host, "docker"]);
        if let Some(socket) = &self.socket {
            command.arg(quoted(&format!("--host=unix://{socket}")));
        }
        command.args(["system", "dial-stdio"]);
        command
    }
}

/// Quotes a word for the shell at the other end.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:=".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Decodes percent-encoding such as `%40`.
fn decoded(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|digits| data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok());
        let byte = byte.ok_or_else(|| format!("`%{part}` stands for nothing"))?;
        bytes.extend(byte);
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(location: &str) -> String {
        let command = Destination::parse(location).unwrap().command();
        let words: Vec<_> = command.as_std().get_args().map(|word| word.to_str().unwrap()).collect();
        let words = words.join(" ");
        words.strip_prefix("-o ConnectTimeout=30 -o BatchMode=yes -T ").unwrap().to_owned()
    }

    #[test]
    fn ssh_is_called_as_the_command_line_calls_it() {
        assert_eq!(words("host"), "-- host docker system dial-stdio");
        assert_eq!(words("me@host:2222/"), "-l me -p 2222 -- host docker system dial-stdio");
        assert_eq!(words("me%40corp@[fe80::1]:22"), "-l me@corp -p 22 -- fe80::1 docker system dial-stdio");
        assert_eq!(
            words("host/run/user/1000/docker.sock"),
            "-- host docker --host=unix:///run/user/1000/docker.sock system dial-stdio"
        );
        assert_eq!(
            words("host/run/it%27s;here"),
            r"-- host docker '--host=unix:///run/it'\''s;here' system dial-stdio"
        );
    }

    #[test]
    fn what_ssh_could_misread_is_refused() {
        for location in [
            "",
            "@host",
            "-oProxyCommand=x",
            "me@-host",
            "-l@host",
            "%2dl@host",
            "[-x]",
            "me@",
            "host:99999",
            "host:",
            "[::1]22",
            "a:b@host",
            "host?x",
            "host#x",
            "%zz@host",
            "%e4@host",
            "a%é@host",
        ] {
            assert!(Destination::parse(location).is_err(), "{location}");
        }
        assert!(!Destination::parse("me:geheim@host").unwrap_err().contains("geheim"));
    }
}
