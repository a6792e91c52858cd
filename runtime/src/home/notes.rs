//! Small documents in there, which one run writes for the next. Whoever cannot read one knows less.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sha256::Sha256;

/// A name for a file that stands for something of any length.
pub(crate) fn key(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    HEXLOWER.encode(hash.first_chunk::<16>().map_or(&hash[..], |start| start))
}

/// `None` for what is not there, or was written by another version.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whoever reads it meanwhile sees the old or the new.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let next = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&next, serde_json::to_vec(value)?)?;
    fs::rename(&next, path)
}

/// Removes the oldest until this many are left.
pub(crate) fn thin_out(directory: &Path, most: usize, remove: impl Fn(&Path) -> io::Result<()>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut all: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if all.len() > most {
        all.sort();
        for (_, path) in all.drain(..all.len() - most) {
            let _ = remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let home = tempfile::tempdir().unwrap();
        for number in 0..30 {
            let path = home.path().join(number.to_string());
            fs::write(&path, "").unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(100 - number);
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        }
        thin_out(home.path(), 2, |path| fs::remove_file(path));
        let mut left: Vec<_> =
            fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0", "1"]);
    }
}
