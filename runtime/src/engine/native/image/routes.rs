//! Where registries are asked: mirrors, and registries without TLS.

use crate::{Error, Result};

/// Says where registries are asked, as `registry=url` with commas between: a mirror, which is asked first, or how the
/// registry itself is reached where that is without TLS.
pub(super) const ROUTES: &str = "BOWLINE_REGISTRIES";

/// A place where a registry's images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// `host[:port]`.
    pub(super) host: String,
    /// What precedes the repository's name there; empty or with a `/` at its end.
    pub(super) prefix: String,
    pub(super) is_plain: bool,
}

/// Where to ask for a registry's images, the first first.
pub(super) fn find(registry: &str) -> Result<Vec<Route>> {
    parse(&std::env::var(ROUTES).unwrap_or_default(), registry)
}

/// Where a registry itself is, for what only it takes: a mirror is asked, and told nothing.
pub(super) fn own(registry: &str) -> Result<Route> {
    let itself = own_of(find(registry)?, registry);
    itself.ok_or_else(|| Error::engine(format!("reach {registry}"), "there is no way to it"))
}

fn own_of(routes: Vec<Route>, registry: &str) -> Option<Route> {
    routes.into_iter().find(|route| route.host == registry && route.prefix.is_empty())
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
        let (is_plain, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(invalid("has a URL that starts with neither `https://` nor `http://`")),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(invalid("has a URL without a host"));
        }
        if of == registry {
            let prefix = prefix.trim_matches('/');
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            routes.push(Route { host: host.to_owned(), prefix, is_plain });
        }
    }
    // The registry itself, unless it was said how that is reached.
    if !routes.iter().any(|route| route.host == registry && route.prefix.is_empty()) {
        routes.push(Route { host: registry.to_owned(), prefix: String::new(), is_plain: is_here(registry) });
    }
    Ok(routes)
}

/// A registry on this machine needs no TLS, as every tool has it.
fn is_here(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, registry: &str) -> Vec<String> {
        let scheme = |route: &Route| if route.is_plain { "http" } else { "https" };
        let routes = parse(text, registry).unwrap();
        routes.iter().map(|route| format!("{}://{}/{}", scheme(route), route.host, route.prefix)).collect()
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
        let own = |registry: &str| own_of(parse(text, registry).unwrap(), registry).unwrap();
        assert_eq!((own("docker.io").host, own("docker.io").is_plain), ("docker.io".to_owned(), false));
        assert!(own("registry.local").is_plain, "a mirror is told nothing");
        for bad in ["docker.io", "docker.io=mirror.example", "docker.io=http://"] {
            let error = parse(bad, "docker.io").unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("help"), "{error}");
        }
    }
}
