//! Output of processes, as engines receive it and return it: small streams in memory, large ones in an unnamed file, so
//! that nothing of it is left however a pipeline ends.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Call;
use crate::Result;
use crate::model::Stream;

/// The most of a stream that is held in memory: 1 MiB.
pub(crate) const IN_MEMORY: usize = 1 << 20;
/// How much is kept of output of which only the end is shown: 64 KiB of each stream.
const LAST_PART: usize = 64 << 10;
/// The size of a read or write.
const PIECE: usize = 256 << 10;

/// What a command's process wrote, in memory, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StepOutput {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit_code: i32,
}

impl StepOutput {
    /// Adds a piece of output of which only the end is shown, and never holds much more than that end.
    pub(crate) fn hear_end(&mut self, stream: Stream, piece: &[u8]) {
        let heard = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let piece = piece.get(piece.len().saturating_sub(LAST_PART)..).unwrap_or_default();
        heard.extend_from_slice(piece);
        // Grows to twice the limit before cutting, so that not every piece moves the buffer.
        if heard.len() > 2 * LAST_PART {
            heard.drain(..heard.len() - LAST_PART);
        }
    }
}

/// What a step's process wrote and how it ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording {
    pub(crate) stdout: Written,
    pub(crate) stderr: Written,
    pub(crate) exit_code: i32,
}

impl From<StepOutput> for Recording {
    fn from(output: StepOutput) -> Self {
        let StepOutput { stdout, stderr, exit_code } = output;
        Self { stdout: stdout.into(), stderr: stderr.into(), exit_code }
    }
}

/// The whole of one stream. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Written {
    Memory(Arc<[u8]>),
    File(Part),
    /// Stored in an engine, and fetched by whoever asks for it.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "the native engine has all of it here"))]
    Elsewhere(Arc<dyn Elsewhere>),
}

/// A part of a file that nobody changes any more.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A stream that is stored on another machine.
pub(crate) trait Elsewhere: Send + Sync {
    /// Fetches it into memory or a file.
    fn fetch(&self) -> Call<'_, Written>;
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(part) => write!(f, "{} bytes in a file", part.length),
            Self::Elsewhere(_) => f.write_str("bytes elsewhere"),
        }
    }
}

impl Default for Written {
    fn default() -> Self {
        Self::Memory(Arc::default())
    }
}

impl From<Arc<[u8]>> for Written {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Memory(bytes)
    }
}

impl From<Vec<u8>> for Written {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl From<&[u8]> for Written {
    fn from(bytes: &[u8]) -> Self {
        Self::Memory(bytes.into())
    }
}

impl Written {
    /// The same stream, fetched to this machine if need be.
    pub(crate) async fn here(&self) -> Result<Self> {
        match self {
            Self::Elsewhere(elsewhere) => elsewhere.fetch().await,
            here => Ok(here.clone()),
        }
    }

    /// So many bytes of a file, from its beginning.
    pub(crate) fn whole(file: File, length: u64) -> Self {
        Self::File(Part { file: Arc::new(file), offset: 0, length })
    }

    /// The length in bytes; 0 if it has not been fetched.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(part) => part.length,
            Self::Elsewhere(_) => 0,
        }
    }

    /// Reads the last bytes of this number, or everything if there are fewer.
    pub(crate) fn last(&self, bytes: u64) -> OutputReader {
        let skipped = self.length().saturating_sub(bytes);
        OutputReader { source: self.clone(), at: skipped }
    }

    pub(crate) fn reader(&self) -> OutputReader {
        OutputReader { source: self.clone(), at: 0 }
    }

    /// The whole stream in memory.
    pub(crate) fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let length = usize::try_from(self.length()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        all.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if let Self::Memory(bytes) = self {
            all.extend_from_slice(bytes);
        } else {
            self.reader().read_to_end(&mut all)?;
        }
        Ok(all)
    }

    /// Writes the whole stream.
    pub(crate) fn write_to(&self, to: &mut impl Write) -> io::Result<()> {
        if let Self::Memory(bytes) = self {
            return to.write_all(bytes);
        }
        let mut reader = self.reader();
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(()),
                length => to.write_all(piece.get(..length).unwrap_or_default())?,
            }
        }
    }
}

/// Reads a command's output from one stream: see [`Container::stdout_reader`](crate::Container::stdout_reader). Large
/// output is in a file on this machine, and only what is being read is in memory.
#[derive(Debug, Clone)]
pub struct OutputReader {
    source: Written,
    at: u64,
}

impl OutputReader {
    /// The total length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is what `Metadata::len` is of a file")]
    pub fn len(&self) -> u64 {
        self.source.length()
    }
}

impl OutputReader {
    pub(crate) fn source(&self) -> &Written {
        &self.source
    }
}

impl Read for OutputReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.source.length().saturating_sub(self.at);
        let wanted = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(into) = into.get_mut(..wanted).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = match &self.source {
            Written::Memory(bytes) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX);
                bytes.get(from..).unwrap_or_default().read(into)?
            }
            Written::File(part) => match read_at(&part.file, into, part.offset + self.at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => read,
            },
            Written::Elsewhere(_) => 0,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
pub(crate) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}

/// Records a stream, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    /// The whole stream, until it exceeds [`IN_MEMORY`].
    memory: Vec<u8>,
    /// The whole stream from then on.
    file: Option<File>,
    length: u64,
}

impl Spool {
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + piece.len() > IN_MEMORY {
            let mut file = unnamed()?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(piece)?,
            None => self.memory.extend_from_slice(piece),
        }
        self.length += piece.len() as u64;
        Ok(())
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The recorded stream.
    pub(crate) fn finish(self) -> Written {
        match self.file {
            Some(file) => Written::whole(file, self.length),
            None => self.memory.into(),
        }
    }
}

/// The directory for large output while a pipeline needs it: `$TMPDIR`, or `/var/tmp`, as `/tmp` is in memory on many
/// machines.
pub(crate) fn place() -> PathBuf {
    let on_disk = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none_or(|place| place.is_empty()) && on_disk.is_dir() {
        return on_disk.to_owned();
    }
    std::env::temp_dir()
}

/// A new file in the [place] for large output, which only this user may open. On Unix it is unlinked before anything is
/// written.
pub(crate) fn unnamed() -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Somebody who guesses the name can do no more than prevent the file's creation.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), number);
        let path = place().join(format!(".bowline-{}-{random:x}", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // FILE_FLAG_DELETE_ON_CLOSE
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0400_0000);
        match options.open(&path) {
            Ok(file) => {
                #[cfg(unix)]
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(pieces: usize) -> Written {
        let mut spool = Spool::default();
        for number in 0..pieces {
            spool.push(&vec![u8::try_from(number % 251).unwrap(); 10_000]).unwrap();
        }
        spool.finish()
    }

    #[test]
    fn large_output_is_in_a_file_without_a_name() {
        let before = std::fs::read_dir(place()).unwrap().count();
        let small = spooled(100);
        assert!(matches!(small, Written::Memory(_)) && small.length() == 1_000_000);
        let large = spooled(1_000);
        let Written::File(part) = &large else { panic!("{large:?}") };
        assert_eq!((part.length, part.file.metadata().unwrap().len()), (10_000_000, 10_000_000));
        let all = large.to_vec().unwrap();
        assert!(
            all.chunks(10_000)
                .enumerate()
                .all(|(number, piece)| { piece.iter().all(|byte| usize::from(*byte) == number % 251) })
        );
        let mut copy = Vec::new();
        large.write_to(&mut copy).unwrap();
        assert!(copy == all);
        let mut end = Vec::new();
        large.last(5).read_to_end(&mut end).unwrap();
        assert_eq!(end, all[all.len() - 5..]);
        let mut start = [1; 2];
        large.last(u64::MAX).read_exact(&mut start).unwrap();
        assert_eq!(start, [0, 0]);
        // Other tests may create and remove files there meanwhile.
        assert!(std::fs::read_dir(place()).unwrap().count() <= before + 20);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&part.file.metadata().unwrap()), 0);
    }

    #[test]
    fn two_readers_do_not_disturb_each_other() {
        let large = spooled(200);
        let (mut first, mut second) = (large.reader(), large.reader());
        let (mut one, mut other) = (vec![1; 15_000], vec![2; 15_000]);
        first.read_exact(&mut one).unwrap();
        second.read_exact(&mut other).unwrap();
        assert!(one == other && first.len() == 2_000_000);
    }

    #[test]
    fn of_a_command_in_a_service_the_last_words_are_kept_and_no_more() {
        let mut output = StepOutput::default();
        for number in 0..100_000 {
            output.hear_end(Stream::Stderr, format!("line {number}\n").as_bytes());
            assert!(output.stderr.len() <= 2 * LAST_PART);
        }
        output.hear_end(Stream::Stdout, &vec![b'x'; 10 * LAST_PART]);
        assert!(output.stderr.ends_with(b"line 99998\nline 99999\n"));
        assert_eq!(output.stdout.len(), LAST_PART);
    }
}
