//! The directory in which everything of a user's pipelines is kept, on every engine.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often a use is noted.
const NOTED: Duration = Duration::from_secs(24 * 60 * 60);

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

/// Makes a directory that nobody else may look into: what programs print is nobody else's, and short texts can be guessed
/// from their hashes.
pub(crate) fn private(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// The same, and nobody else may write to it, whoever made it: whoever could write to it could make a pipeline take what it never found.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    private(directory)?;
    if is_ours(&fs::metadata(directory)?) {
        Ok(())
    } else {
        let message = format!("`{}` is not this user's alone", directory.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

/// Notes that a file is used, for whoever removes those that are not.
pub(crate) fn note_use(path: &Path, metadata: &Metadata) {
    let noted = metadata.modified().ok().and_then(|time| time.elapsed().ok());
    if noted.is_some_and(|noted| noted > NOTED) {
        let file = File::options().write(true).open(path);
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }
}

/// Removes the files of a directory that nobody has used for so long, and the least recently used of those that are more
/// than so many bytes.
pub(crate) fn thin_out(directory: &Path, unused_for: Duration, at_most: u64) {
    let now = SystemTime::now();
    let known = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some((metadata.modified().ok()?, metadata.len(), entry.path()))
    };
    let mut files: Vec<_> = fs::read_dir(directory).into_iter().flatten().filter_map(known).collect();
    files.sort_by(|a, b| b.cmp(a));
    let mut sum = 0;
    for (used, length, path) in files {
        sum += length;
        if sum > at_most || now.duration_since(used).is_ok_and(|unused| unused > unused_for) {
            let _ = fs::remove_file(path);
        }
    }
}
