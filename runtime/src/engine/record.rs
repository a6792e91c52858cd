//! What a step wrote, in one file: a line of JSON, then both streams, byte for byte. So it is found, counted and removed as
//! one, and large output is read in place.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::output::{Part, Recording, Written, read_at};

/// The size limit of the line: 500 names of layers are 13 KB.
const HEAD_AT_MOST: u64 = 256 << 10;
/// How much of a stream is read with the line: a caller that finds many steps need not have a file open for each.
const READ_AT_ONCE: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Head<T> {
    /// What else is known of the step.
    #[serde(flatten)]
    more: T,
    exit_code: i32,
    /// The lengths in bytes of the streams that follow, in this order.
    stdout: u64,
    stderr: u64,
}

/// The line, with its end.
pub(super) fn line(more: &impl Serialize, output: &Recording) -> io::Result<Vec<u8>> {
    let (stdout, stderr) = (output.stdout.length(), output.stderr.length());
    let mut line = serde_json::to_vec(&Head { more, exit_code: output.exit_code, stdout, stderr })?;
    line.push(b'\n');
    if line.len() as u64 > HEAD_AT_MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too much is to be recorded of a step"));
    }
    Ok(line)
}

/// Writes both streams, which stand behind the line.
pub(super) fn write_streams(to: &mut impl Write, output: &Recording) -> io::Result<()> {
    output.stdout.write_to(to)?;
    output.stderr.write_to(to)
}

/// The line that begins at an offset, and where it ends.
fn head_at<T: DeserializeOwned>(file: &File, start: u64) -> Option<(Head<T>, u64)> {
    let mut line = Vec::new();
    let from = At { file, at: start }.take(HEAD_AT_MOST);
    BufReader::new(from).read_until(b'\n', &mut line).ok()?;
    Some((serde_json::from_slice(&line).ok()?, start + line.len() as u64))
}

/// Reads what the line says that begins at an offset.
pub(super) fn head<T: DeserializeOwned>(file: &File, start: u64) -> Option<T> {
    Some(head_at::<T>(file, start)?.0.more)
}

/// Reads what begins at an offset and ends with the file; `None` if that is anything else.
pub(super) fn read<T: DeserializeOwned>(file: File, start: u64) -> Option<(T, Recording)> {
    let end = file.metadata().ok()?.len();
    let (head, offset) = head_at::<T>(&file, start)?;
    if end != offset.checked_add(head.stdout)?.checked_add(head.stderr)? {
        return None;
    }
    let file = Arc::new(file);
    let stream = |offset: u64, length: u64| {
        let there = Written::File(Part { file: Arc::clone(&file), offset, length });
        if length <= READ_AT_ONCE { there.to_vec().map(Into::into) } else { Ok(there) }
    };
    let output = Recording {
        stdout: stream(offset, head.stdout).ok()?,
        stderr: stream(offset + head.stdout, head.stderr).ok()?,
        exit_code: head.exit_code,
    };
    Some((head.more, output))
}

/// Reads a file from a place on, whatever others read of it.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = read_at(self.file, into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
