//! The directory in which everything of a user's pipelines is kept, on every engine.

use std::fs::Metadata;
use std::path::PathBuf;

#[cfg(any(feature = "docker", feature = "cli"))]
pub(crate) mod notes;

/// `$BOWLINE_HOME`, or `bowline` in the user's cache directory (XDG Base Directory Specification).
pub(crate) fn place() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("BOWLINE_HOME").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        cache.unwrap_or_else(|| "/var/cache".into()).join("bowline")
    })
}

/// Whether something in it belongs to this user, and nobody else may write to it.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // SAFETY: it only returns a number.
    let user = unsafe { libc::geteuid() };
    metadata.uid() == user && metadata.mode() & 0o022 == 0
}

#[cfg(not(unix))]
pub(crate) fn is_ours(_: &Metadata) -> bool {
    true
}
