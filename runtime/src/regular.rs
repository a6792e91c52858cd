//! Reading files of this machine by name: only regular files, and no more than a limit. Opening a pipe would block, and a
//! device may never end.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// The size limit: no configuration, manifest or list of patterns is as large.
pub(crate) const DOCUMENT_AT_MOST: u64 = 8 << 20;

/// Opens a regular file, or a link to one, for reading. Anything else is refused at once.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    check(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // The path may have become something else meanwhile.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file; an error if it is larger than the limit.
pub(crate) fn read(path: &Path, at_most: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    open(path)?.take(at_most + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > at_most {
        let message = format!("it is larger than {} MiB", at_most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(contents)
}

/// Checks that it is a regular file; the error says what it is instead.
pub(crate) fn check(known: &Metadata) -> io::Result<()> {
    if known.is_file() {
        return Ok(());
    }
    let kind = kind(known.file_type());
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file")))
}

fn kind(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a directory" } else { "something else" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        for (path, says) in [
            (pipe.as_path(), "a pipe"),
            (&link, "a pipe"),
            (&directory.path().join("socket"), "a socket"),
            (directory.path(), "a directory"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read(path, 10).unwrap_err().to_string();
            assert!(error.contains(says), "{}: {error}", path.display());
        }
        let file = directory.path().join("file");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"0123456789");
        assert!(read(&file, 9).unwrap_err().to_string().contains("larger"));
    }
}
