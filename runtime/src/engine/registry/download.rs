//! Downloads of blobs, each verified on arrival. Interrupted ones are resumed, whichever process they were of.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Remote;
use super::refusal::Refusal;
use crate::engine::oci::Descriptor;
use crate::model::ContentDigest;
use crate::sha256::Sha256;

/// Idle timeout: a registry that sends nothing for this long is given up.
pub(in crate::engine) const SILENCE: Duration = Duration::from_secs(30);
/// How often a download that makes no progress is retried.
const TRIES: u32 = 5;

/// The least that must arrive in the time below, or the download is given up: a registry must not keep a pull waiting for
/// ever.
const AT_LEAST: u64 = 64 << 10;
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Why a download failed.
#[derive(Debug)]
pub(in crate::engine) enum Trouble {
    Refused(Refusal),
    /// What the registry sends is not the blob; in words.
    Wrong(String),
    /// The file cannot be written or read.
    Here(io::Error),
}

/// Why a download stopped.
enum Stop {
    /// It may be retried.
    Perhaps(Trouble),
    Here(Trouble),
}

/// Fetches what is missing of a blob and verifies the whole: then the file is at its beginning. `done` counts the bytes that
/// are there, those of an earlier attempt among them.
pub(in crate::engine) async fn fetch(
    remote: &Remote,
    blob: &Descriptor,
    download: &mut Download,
    done: &AtomicU64,
) -> Result<(), Trouble> {
    if download.length > blob.size {
        download.begin_anew().map_err(Trouble::Here)?;
    }
    done.fetch_add(download.length, Ordering::Relaxed);
    let mut tries = 0;
    while download.length < blob.size {
        let before = download.length;
        let result = go_on(remote, blob, download, done).await;
        tries = if download.length > before { 0 } else { tries + 1 };
        match result {
            Ok(()) if download.length >= blob.size => break,
            Err(Stop::Here(trouble)) => return Err(trouble),
            Err(Stop::Perhaps(trouble)) if tries >= TRIES => return Err(trouble),
            Ok(()) if tries >= TRIES => {
                return Err(Trouble::Wrong(format!("the registry sends no more of {}", blob.digest)));
            }
            _ => tokio::time::sleep(Duration::from_millis(100 << tries.min(5))).await,
        }
    }
    let found = ContentDigest::hashed(download.hash.clone());
    if found != blob.digest {
        // The partial download must not be resumed.
        let _ = download.file.set_len(0);
        return Err(Trouble::Wrong(format!("the registry sent something else: {} is {found}", blob.digest)));
    }
    download.file.rewind().map_err(Trouble::Here)
}

/// Fetches the missing part, until the end or until the connection breaks.
async fn go_on(
    remote: &Remote,
    blob: &Descriptor,
    download: &mut Download,
    done: &AtomicU64,
) -> Result<(), Stop> {
    let here = |error| Stop::Here(Trouble::Here(error));
    let wrong = |message: String| Stop::Here(Trouble::Wrong(message));
    let from = download.length;
    let mut answer = match remote.blob(&blob.digest, from).await {
        Ok(answer) => answer,
        Err(refusal @ Refusal::Lost(_)) => return Err(Stop::Perhaps(Trouble::Refused(refusal))),
        Err(refusal) => return Err(Stop::Here(Trouble::Refused(refusal))),
    };
    if from > 0 && answer.status() != reqwest::StatusCode::PARTIAL_CONTENT {
        // A registry without range requests starts from the beginning.
        done.fetch_sub(from, Ordering::Relaxed);
        download.begin_anew().map_err(here)?;
    }
    let (mut since, mut before) = (Instant::now(), download.length);
    loop {
        let piece = match tokio::time::timeout_at(since + AT_LEAST_EVERY, answer.chunk()).await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(piece))) => piece,
            Ok(Err(error)) => return Err(Stop::Perhaps(Trouble::Refused(Refusal::Lost(error)))),
            Err(_) if download.length - before >= AT_LEAST => {
                (since, before) = (Instant::now(), download.length);
                continue;
            }
            Err(_) => {
                return Err(wrong("the registry sends less than a kilobyte in a second".to_owned()));
            }
        };
        download.add(&piece).map_err(here)?;
        done.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if download.length > blob.size {
            let _ = download.file.set_len(0);
            return Err(wrong(format!("the registry sends more of {} than there is", blob.digest)));
        }
    }
}

/// The locked file of a download.
pub(in crate::engine) struct Download {
    pub(in crate::engine) file: File,
    pub(in crate::engine) length: u64,
    hash: Sha256,
}

impl Download {
    /// Waits for any other download of the same file, in this process or another, and goes on where it stopped.
    pub(in crate::engine) async fn open(path: PathBuf) -> io::Result<Self> {
        let open = tokio::task::spawn_blocking(move || Self::open_now(&path));
        open.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn open_now(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Self { file, length, hash }),
                read => {
                    hash.update(piece.get(..read).unwrap_or_default());
                    length += read as u64;
                }
            }
        }
    }

    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    crate::flock::open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).open(path)
}
