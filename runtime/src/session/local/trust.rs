//! When a file's metadata proves that its contents are what they were.
//!
//! Every change of a file changes its ctime, which programs cannot set. But clocks of file systems tick: a file that was
//! changed, read, and changed again within one tick looks as it did when it was read. So a file is *settled* only if its
//! last change was well before it was read; every other file is read again the next time. Git does the same ("racy git").
//!
//! Not every file system can be trusted: where files can be changed from elsewhere (NFS, SMB, what a virtual machine
//! shares with its host), the metadata that is seen may be older than the contents; and FAT has no ctime. So there is a
//! list of those that can be.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::records::{Stamp, Time};

/// The coarsest clock of a file system, that of FAT, ticks every two seconds.
pub(super) const TICK: Duration = Duration::from_secs(2);

/// Which files below a directory are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trust {
    /// The device of the directory.
    device: u64,
    /// What changed last before this is settled; `None` if nothing ever is.
    before: Option<Time>,
    /// Whether files may be on other devices than their directory, as on overlays.
    has_other_devices: bool,
    tick: Duration,
}

impl Trust {
    /// For a directory that is about to be read.
    pub(super) fn of(path: &Path, metadata: &Metadata, tick: Duration) -> Self {
        let kind = file_system(path);
        let now = SystemTime::now().checked_sub(tick);
        let before = now
            .and_then(|now| now.duration_since(SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| Some(Time(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos())));
        Self {
            device: device(metadata),
            before: before.filter(|_| kind.is_some()),
            has_other_devices: kind == Some(FileSystem::Overlay),
            tick,
        }
    }

    /// For a directory in this one.
    pub(super) fn below(self, path: &Path, metadata: &Metadata) -> Self {
        if device(metadata) == self.device { self } else { Self::of(path, metadata, self.tick) }
    }

    /// Whether a file of the directory is settled.
    pub(super) fn settles(&self, metadata: &Metadata, stamp: &Stamp) -> bool {
        self.before.is_some_and(|before| stamp.changed() < before)
            && (self.has_other_devices || device(metadata) == self.device)
    }
}

#[cfg(unix)]
fn device(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(metadata)
}

#[cfg(not(unix))]
fn device(_: &Metadata) -> u64 {
    0
}

/// A file system that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileSystem {
    Local,
    Overlay,
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn file_system(path: &Path) -> Option<FileSystem> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: only numbers, all of which the kernel sets.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: both outlive the call.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut found) } != 0 {
        return None;
    }
    // The magic numbers of statfs(2) have 32 bits; the field is longer, and signed, on some machines.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match found.f_type as u32 {
        // ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs, ramfs; SquashFS, EROFS.
        0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0x2fc1_2fc1 | 0xca45_1a4e | 0x0102_1994
        | 0x8584_58f6 | 0x7371_7368 | 0xe0f5_e1e2 => Some(FileSystem::Local),
        0x794c_7630 => Some(FileSystem::Overlay),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<FileSystem> {
    None
}
