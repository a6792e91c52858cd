//! Sources of a registry's images: mirrors, directories of this machine, registries without TLS.

use std::path::PathBuf;

use crate::{Error, Result};

/// The variable with the sources of a registry's images, as `registry=url` or `registry=directory` separated by commas: a
/// mirror, which is asked first, or the registry's own address if it has no TLS.
const ROUTES: &str = "BOWLINE_REGISTRIES";

/// A source of a registry's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Route {
    /// A directory of archives and layouts, `repository/tag.tar` and `repository/tag`.
    Directory(PathBuf),
    Endpoint(Endpoint),
}

/// A registry to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Endpoint {
    /// `host[:port]`.
    pub(in crate::engine) name: String,
    /// The path before the repository's name; empty or with a `/` at its end.
    pub(in crate::engine) prefix: String,
    pub(in crate::engine) is_plain: bool,
}

/// The sources to ask for a registry's images, in order.
pub(in crate::engine) fn find(registry: &str) -> Result<Vec<Route>> {
    parse(&variable(), registry)
}

/// Checks the variable, before anything runs.
pub(in crate::engine) fn check() -> Result<()> {
    parse(&variable(), "").map(drop)
}

fn variable() -> String {
    std::env::var_os(ROUTES).unwrap_or_default().to_string_lossy().into_owned()
}

/// The registry itself, for pushes: a mirror is only read from.
#[cfg(feature = "registry")]
pub(in crate::engine) fn own(registry: &str) -> Result<Endpoint> {
    let itself = own_of(find(registry)?, registry);
    itself.ok_or_else(|| Error::engine(format!("reach {registry}"), "there is no way to it"))
}

#[cfg(feature = "registry")]
fn own_of(routes: Vec<Route>, registry: &str) -> Option<Endpoint> {
    routes.into_iter().find_map(|route| match route {
        Route::Endpoint(endpoint) if endpoint.is(registry) => Some(endpoint),
        _ => None,
    })
}

impl Endpoint {
    /// Whether this is the registry itself.
    fn is(&self, registry: &str) -> bool {
        self.name == registry && self.prefix.is_empty()
    }
}

fn parse(text: &str, registry: &str) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let invalid = |why: &str| {
            Error::invalid(
                None,
                format!("{ROUTES}: `{entry}` {why}\n\nhelp: for example `docker.io=https://mirror.example`"),
            )
        };
        let (of, url) = entry.split_once('=').ok_or_else(|| invalid("says no URL"))?;
        if url.starts_with(['.', '/']) {
            if of == registry {
                routes.push(Route::Directory(url.into()));
            }
            continue;
        }
        let (is_plain, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => {
                return Err(invalid(
                    "has neither a URL, `https://…` or `http://…`, nor a directory, `/…` or `./…`",
                ));
            }
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(invalid("has a URL without a host"));
        }
        if of == registry {
            let prefix = prefix.trim_matches('/');
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            routes.push(Route::Endpoint(Endpoint { name: host.to_owned(), prefix, is_plain }));
        }
    }
    // The registry itself, unless its address was given.
    if !routes.iter().any(|route| matches!(route, Route::Endpoint(endpoint) if endpoint.is(registry))) {
        let is_plain = is_here(registry);
        routes.push(Route::Endpoint(Endpoint { name: registry.to_owned(), prefix: String::new(), is_plain }));
    }
    Ok(routes)
}

/// A registry on this machine needs no TLS, as in every other tool.
fn is_here(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, registry: &str) -> Vec<String> {
        let show = |route: &Route| match route {
            Route::Directory(path) => path.display().to_string(),
            Route::Endpoint(Endpoint { name, prefix, is_plain }) => {
                format!("http{}://{name}/{prefix}", if *is_plain { "" } else { "s" })
            }
        };
        parse(text, registry).unwrap().iter().map(show).collect()
    }

    #[test]
    fn registries_are_asked_where_it_is_said() {
        assert_eq!(found("", "docker.io"), ["https://docker.io/"]);
        assert_eq!(found("", "localhost:5000"), ["http://localhost:5000/"]);
        assert_eq!(found("", "127.0.0.1:5000"), ["http://127.0.0.1:5000/"]);
        let text = "docker.io=https://mirror.example/hub/, registry.local=http://registry.local";
        assert_eq!(found(text, "docker.io"), ["https://mirror.example/hub/", "https://docker.io/"]);
        assert_eq!(found(text, "registry.local"), ["http://registry.local/"]);
        assert_eq!(found(text, "ghcr.io"), ["https://ghcr.io/"]);
        assert_eq!(found("docker.io=./images", "docker.io"), ["./images", "https://docker.io/"]);
        for bad in ["docker.io", "docker.io=mirror.example", "docker.io=http://"] {
            let error = parse(bad, "docker.io").unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("help"), "{error}");
        }
    }

    #[cfg(feature = "registry")]
    #[test]
    fn what_is_published_goes_to_the_registry_itself() {
        let text =
            "docker.io=/images,docker.io=https://mirror.example/hub/, registry.local=http://registry.local";
        let own = |registry: &str| own_of(parse(text, registry).unwrap(), registry).unwrap();
        assert_eq!((own("docker.io").name, own("docker.io").is_plain), ("docker.io".to_owned(), false));
        assert!(own("registry.local").is_plain, "a mirror is told nothing");
    }
}
