//! Where results are kept elsewhere, as it is written: `dir:PATH` or `registry:HOST/NAME`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::terminal;
#[cfg(not(feature = "registry"))]
use crate::{Error, terminal::plain};

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A repository of a registry, as `host[:port]/name`.
    Repository(String),
}

const HELP: &str = "help: it may be `dir:PATH`, or `registry:HOST/NAME` without a tag";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = terminal::plain(text);
        match text.split_once(':') {
            Some(("dir", "")) => Err(format!("`{shown}` names no directory\n\n{HELP}")),
            Some(("dir", path)) => Ok(Self::Directory(path.into())),
            Some(("registry", name)) => match is_repository(name) {
                Ok(()) => Ok(Self::Repository(name.to_owned())),
                Err(why) => Err(format!("`{shown}` {why}\n\n{HELP}")),
            },
            _ => Err(format!("`{shown}` is no place for results\n\n{HELP}")),
        }
    }
}

/// Whether a text names a repository: a host, and a name without a tag or a digest.
fn is_repository(name: &str) -> Result<(), String> {
    let Some((host, path)) = name.split_once('/') else { return Err("names no repository".to_owned()) };
    if !(host.contains(['.', ':']) || host == "localhost") {
        return Err(format!("names no registry: `{}` is no host", terminal::plain(host)));
    }
    if path.contains([':', '@']) {
        return Err("has a tag or a digest: the tags are the keys of results".to_owned());
    }
    crate::rules::image(name).map_err(|problem| format!("names no repository: {problem}"))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Repository(name) => write!(f, "registry:{name}"),
        }
    }
}

#[cfg(not(feature = "registry"))]
pub(super) fn without_registries(place: &Place) -> Error {
    let text = place.to_string();
    let place = plain(&text);
    Error::invalid(
        None,
        format!(
            "`{place}` is in a registry, and bowline was built without the feature `registry`, which speaks to them\n\nhelp: \
             add it, or use `dir:PATH`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_repository() {
        for text in ["dir:/c", "dir:./a:b", "registry:localhost/x", "registry:r.test:5000/team/cache"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for (text, says) in [
            ("", "`` is no place for results"),
            ("/tmp/x", "`/tmp/x` is no place"),
            ("dir:", "names no directory"),
            ("s3:bucket", "`s3:bucket` is no place"),
            ("registry:", "names no repository"),
            ("registry:r.test", "names no repository"),
            ("registry:team/cache", "`team` is no host"),
            ("registry:r.test/x:1", "has a tag"),
            ("registry:r.test/x@sha256:1", "has a tag"),
            ("registry:r.test/X", "must be lowercase"),
        ] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains(says) && error.contains("help: "), "{text}: {error}");
        }
    }
}
