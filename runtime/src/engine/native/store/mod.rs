//! The store: everything the engine keeps on disk, in one directory for all pipelines of a user.
//!
//! ```text
//! l/<name>            layers: what an image or a step adds. Names are short, as one page holds those of a mount
//! images/<id>.json    which layers an image has
//! references/<…>.json which image a reference led to, and the image's configuration
//! steps/<key>.step    which layers a step left, its output, and which run of it that was (`step.rs`)
//! steps/<key>.output  the same of a step whose files are elsewhere, without layers
//! steps/….replaced    such a record that another has replaced: found by nobody, and there for who has found it before
//! packed/<name>.json  what a layer is as an archive that was published
//! volumes/<name>      cache volumes
//! used/<name>         when the cache volume of that name was last used
//! durable/<boot>      from when to when everything that was made is on the disk
//! scratch/<session>/  what is being made: renamed into place when it is whole, or removed; and which volumes services have
//! downloads/<digest>  what came of a layer so far, locked by whoever fetches it; removed once it is unpacked
//! claims              locked by whoever runs a step, in a place of the step's
//! mountpoints         the lowest layer of every container: what something is mounted on
//! empty               that of what is made of nothing
//! aside               where something is mounted for a moment
//! files               not of this store: what sessions know of the machine's files (`session/local/known.rs`)
//! ```
//!
//! Whatever is found under its name is complete, whenever a process died: it was made in `scratch` and renamed. What a
//! crash of the machine may have damaged is not found (`durable`). A session locks its scratch directory; the next
//! session removes those that are no longer locked.

mod durable;
mod held;
pub(super) mod lock;
mod prune;
mod rights;
mod scratch;
mod step;
mod volumes;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::model::Root;
use crate::engine::oci::Packed;
use crate::engine::runs::Runs;
use crate::engine::{ImageConfig, StoredKind};
use crate::model::{ContentDigest, Digest, ImageName, SessionId, Snapshot};

use self::durable::Sound;
pub(super) use self::durable::make_durable;
pub(super) use self::held::{Attempt, empty, empty_all};
pub(super) use self::prune::prune;
use self::scratch::{Removal, join};
pub(super) use self::scratch::{Remover, Scratch, sweep};
pub(super) use self::step::{StoredOutput, StoredStep};

const LAYERS: &str = "l";
/// The layer with the mount points that every container needs.
pub(super) const MOUNTPOINTS: &str = "mountpoints";
pub(super) const EMPTY: &str = "empty";
/// Where a file system is mounted temporarily: every process that does so has a mount namespace of its own.
pub(super) const ASIDE: &str = "aside";
const DIRECTORIES: [&str; 12] = [
    LAYERS,
    MOUNTPOINTS,
    EMPTY,
    "images",
    "references",
    "steps",
    PACKED,
    VOLUMES,
    USED,
    "scratch",
    "downloads",
    ASIDE,
];
/// Cache volumes, and files whose modification times say when the volumes of their names were last used.
const VOLUMES: &str = "volumes";
const USED: &str = "used";
/// Records of layers as archives.
const PACKED: &str = "packed";
/// The suffix of records that others have replaced.
const REPLACED: &str = "replaced";
/// The kinds of records that name layers.
const RECORDS: [(&str, StoredKind); 2] = [("images", StoredKind::Image), ("steps", StoredKind::Result)];

/// A session's access to the store.
pub(super) struct Store {
    root: PathBuf,
    /// This session's directory, below the root.
    scratch: PathBuf,
    /// Locked while this session lives.
    lock: File,
    /// The next number for names in the scratch directory.
    next: AtomicU64,
    /// Removes what the session did not store.
    removal: Arc<Removal>,
    /// When this session began: records used since then are in use.
    began: SystemTime,
    /// Which layers a crash of the machine cannot have damaged.
    sound: Sound,
    /// Which runs of steps this session sees.
    runs: Runs,
}

/// The record of an image. All of it comes from the image's own configuration, wherever it was taken from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredImage {
    /// The digest of its configuration as it was written.
    pub(super) id: ContentDigest,
    /// Its identity, the same on every engine.
    pub(super) identity: ContentDigest,
    /// Layers, the lowest first.
    pub(super) layers: Vec<String>,
    /// The digests of the archives that they were unpacked from; none in records of earlier versions.
    #[serde(default)]
    pub(super) unpacked: Vec<ContentDigest>,
    pub(super) config: ImageConfig,
    /// As `os/architecture[/variant]`.
    pub(super) platform: String,
}

/// What a reference named when it was last looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredReference {
    pub(super) id: ContentDigest,
    /// The digest that a registry has it under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<ContentDigest>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.root)
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, creating what is missing, and removes what dead sessions left.
    pub(super) fn open(root: PathBuf, session: &SessionId) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        rights::check(&root)?;
        for directory in DIRECTORIES {
            rights::make(&root.join(directory))?;
        }
        let sound = Sound::load(&root)?;
        let scratch = PathBuf::from("scratch").join(session.as_str());
        let (lock, dead) = join(&root.join("scratch"), &root.join(&scratch))?;
        // Large ones take a while.
        for dead in dead {
            dead.remove(&root);
        }
        Ok(Self {
            root,
            scratch,
            lock,
            next: AtomicU64::new(0),
            removal: Arc::default(),
            began: SystemTime::now(),
            sound,
            runs: Runs::default(),
        })
    }

    /// Sets who removes directories from now on: without root, this process lacks the right to.
    pub(super) fn remove_by(&self, remover: Remover) {
        let _ = self.removal.by.set(remover);
    }

    /// Whoever has this descriptor open keeps others from removing what this session made.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Dates the session back: what was used since then is in use.
    pub(super) fn began_at(&self, when: SystemTime) -> io::Result<()> {
        self.lock.set_modified(when.min(self.began))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The name of this session.
    #[cfg(test)]
    pub(super) fn session(&self) -> PathBuf {
        self.scratch.file_name().unwrap_or_default().into()
    }

    /// Stores the changes as a layer. `key` identifies what made the changes: a step, or a layer of an image.
    pub(super) fn keep(&self, scratch: &Scratch, key: &Digest) -> io::Result<String> {
        let name = layer_name(key);
        self.keep_as(scratch, &name)?;
        Ok(name)
    }

    pub(super) fn keep_as(&self, scratch: &Scratch, name: &str) -> io::Result<()> {
        let place = self.root.join(LAYERS).join(name);
        match fs::rename(self.root.join(&scratch.changes.upper), &place) {
            // Another process has run the same, and was first.
            Err(error) if is_taken(&error) && self.has(name) => Ok(()),
            // A layer that a crash of the machine may have damaged, and which therefore nobody uses.
            Err(error) if is_taken(&error) => {
                let ours = self.root.join(&scratch.changes.upper);
                Ok(renameat_with(CWD, ours, CWD, place, RenameFlags::EXCHANGE)?)
            }
            other => other,
        }
    }

    /// The name of a layer merged from others.
    pub(super) fn merged_name(names: &[String]) -> String {
        let digest = Digest(crate::sha256::Sha256::digest(names.join(",")));
        format!("{MERGED}{}", layer_name(&digest))
    }

    /// Whether a layer exists and is sound.
    pub(super) fn has(&self, name: &str) -> bool {
        // Records name entries of this directory, and nothing else.
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return false;
        }
        let Ok(known) = fs::symlink_metadata(self.root.join(LAYERS).join(name)) else { return false };
        known.is_dir() && self.sound.is_sound(made(&known))
    }

    /// The name of an unpacked layer, and whether it exists.
    pub(super) fn layer(&self, digest: &Digest) -> (String, bool) {
        let name = layer_name(digest);
        let is_there = self.has(&name);
        (name, is_there)
    }

    pub(super) fn image(&self, id: &ContentDigest) -> Option<StoredImage> {
        let found: StoredImage = self.record("images", &id.hash().to_string())?;
        self.has_all(&found.layers).then_some(found)
    }

    pub(super) fn keep_image(&self, image: &StoredImage) -> io::Result<()> {
        self.keep_image_as(&image.id, image)
    }

    /// Also stores an image under the digest of a manifest or an index that was found to lead to it.
    pub(super) fn keep_image_as(&self, id: &ContentDigest, image: &StoredImage) -> io::Result<()> {
        self.write_record("images", &id.hash().to_string(), image)
    }

    pub(super) fn reference(&self, name: &ImageName) -> Option<StoredReference> {
        self.record("references", &reference_name(name))
    }

    pub(super) fn keep_reference(&self, name: &ImageName, reference: &StoredReference) -> io::Result<()> {
        if self.reference(name).is_some_and(|known| known == *reference) {
            return Ok(());
        }
        self.write_record("references", &reference_name(name), reference)
    }

    /// Claims the right to run a step, unless somebody holds it.
    pub(super) fn claim(&self, key: &Digest, limit: Option<Duration>) -> io::Result<Option<lock::Lock>> {
        // Runs with different timeouts do not wait for each other.
        let text = format!("{key} {}", limit.unwrap_or_default().as_nanos());
        let hash: [u8; 32] = crate::sha256::Sha256::digest(text);
        lock::Lock::try_new(&self.root.join("claims"), &hash)
    }

    /// The digests of a layer as an archive, if it was packed before.
    pub(super) fn packed(&self, layer: &Path) -> Option<Packed> {
        self.record(PACKED, kept_name(layer)?)
    }

    pub(super) fn keep_packed(&self, layer: &Path, packed: &Packed) -> io::Result<()> {
        // A held layer is gone with the session.
        kept_name(layer).map_or(Ok(()), |name| self.write_record(PACKED, name, packed))
    }

    /// The file of a blob that is being fetched, in this session or a later one.
    #[cfg(feature = "registry")]
    pub(super) fn download(&self, blob: &Digest) -> PathBuf {
        self.root.join("downloads").join(blob.to_string())
    }

    fn has_all(&self, layers: &[String]) -> bool {
        layers.iter().all(|name| self.has(name))
    }

    fn record<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        let mut file = self.open_record(&record_path(&self.root, kind, name))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Opens a record and marks it as used.
    fn open_record(&self, path: &Path) -> Option<File> {
        let file = File::open(path).ok()?;
        // Once a session is enough: what was used since the session began is in use.
        if file.metadata().and_then(|known| known.modified()).ok()? < self.began {
            file.set_modified(SystemTime::now()).ok()?;
            if !path.exists() {
                return None; // being removed
            }
        }
        Some(file)
    }

    fn write_record(&self, kind: &str, name: &str, record: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        self.put_record(&record_path(&self.root, kind, name), |file| file.write_all(&text))
    }

    /// A record that a crash of the machine has damaged does not count, and neither does one of damaged layers.
    fn put_record(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let aside = self.root.join(&self.scratch).join(format!("record-{number}"));
        let mut file = File::create_new(&aside)?;
        let put = write(&mut file).and_then(|()| {
            self.sound.expect(&self.root, self.scratch.file_name().unwrap_or_default())?;
            self.replace(&aside, path, number)
        });
        if put.is_err() {
            // A full disk must not stay full because of a partial record.
            let _ = fs::remove_file(aside);
        }
        put
    }

    /// Gives a record its name. One of layers that had it may be in use: it stays, under a name that nobody looks for, so that
    /// they are not pruned while it is.
    fn replace(&self, record: &Path, path: &Path, number: u64) -> io::Result<()> {
        let kind = path.parent().and_then(Path::file_name).unwrap_or_default();
        if !RECORDS.iter().any(|(of_layers, _)| kind == *of_layers) {
            return fs::rename(record, path);
        }
        match renameat_with(CWD, record, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {
                let session = self.scratch.file_name().unwrap_or_default().display();
                fs::rename(record, path.with_extension(format!("{session}-{number}.{REPLACED}")))
            }
            Err(rustix::io::Errno::NOENT) => fs::rename(record, path),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what this session made and did not store.
    pub(super) fn close(&self) {
        if self.removal.is_left.load(Ordering::Relaxed) {
            return;
        }
        let own = self.root.join(&self.scratch);
        if empty_all(&self.root, &own).is_ok() {
            let _ = fs::remove_dir_all(own);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn record_path(root: &Path, kind: &str, name: &str) -> PathBuf {
    root.join(kind).join(format!("{name}.json"))
}

/// The name of a stored layer, by its path in the store.
fn kept_name(layer: &Path) -> Option<&str> {
    layer.strip_prefix(LAYERS).ok()?.to_str()
}

/// The layers of a snapshot, whose name lists them.
pub(super) fn layers(snapshot: &Snapshot) -> Vec<PathBuf> {
    snapshot.0.split(',').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// The names of stored layers: held ones are not part of anything else.
pub(super) fn names(snapshot: &Snapshot) -> Vec<String> {
    let names = snapshot.0.split(',').map(|path| path.trim_start_matches("l/").to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

pub(super) fn snapshot_of(layers: &[String]) -> Snapshot {
    let paths: Vec<String> = layers.iter().map(|name| format!("l/{name}")).collect();
    Snapshot(paths.join(","))
}

/// A file system to read.
pub(super) fn root_of(snapshot: &Snapshot) -> Root {
    Root { layers: layers(snapshot), changes: None }
}

fn reference_name(name: &ImageName) -> String {
    let text = format!("{} {}", name.reference, name.platform.as_deref().unwrap_or_default());
    Digest(crate::sha256::Sha256::digest(text)).to_string()
}

/// The first character of merged layers' names; no digest has it.
const MERGED: char = '+';

pub(super) fn is_merged(name: &str) -> bool {
    name.starts_with(MERGED)
}

/// 144 bits of a digest: nobody can find two layers with one name. In base64, as one page must hold the names of a mount.
fn layer_name(digest: &Digest) -> String {
    let start = digest.0.first_chunk::<18>().map_or(&digest.0[..], |start| start);
    data_encoding::BASE64URL_NOPAD.encode(start)
}

/// When a layer got its name.
fn made(known: &fs::Metadata) -> SystemTime {
    let nanoseconds = u32::try_from(known.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(known.ctime()).unwrap_or(0), nanoseconds)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;
    use crate::engine::{Recording, StepOutput};
    use crate::model::Provenance;

    fn key(number: u8) -> Digest {
        Digest([number; 32])
    }

    #[test]
    fn what_is_kept_is_found_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("home"), &SessionId::random()).unwrap();
        let scratch = store.scratch().unwrap();
        fs::write(store.root().join(&scratch.changes.upper).join("x"), "kept").unwrap();
        let layers = vec![store.keep(&scratch, &key(1)).unwrap()];
        let output = StepOutput { stdout: b"out".into(), exit_code: 3, ..StepOutput::default() };
        let step =
            StoredStep { layers: layers.clone(), output: output.into(), from: Provenance::of_nothing() };
        store.keep_step(&key(1), &step).unwrap();
        // The same key again: the first layer stays.
        let again = store.scratch().unwrap();
        fs::write(store.root().join(&again.changes.upper).join("y"), "late").unwrap();
        assert_eq!(store.keep(&again, &key(1)).unwrap(), layers[0]);
        drop((scratch, again, store));
        let other = Store::open(dir.path().join("home"), &SessionId::random()).unwrap();
        let found = other.step(&key(1)).unwrap();
        assert_eq!(
            (found.output.exit_code, found.output.stdout.to_vec().unwrap(), &found.layers),
            (3, b"out".to_vec(), &layers)
        );
        assert_eq!(fs::read_to_string(other.root().join("l").join(&layers[0]).join("x")).unwrap(), "kept");
        assert!(other.step(&key(2)).is_none());
        // A record of layers that is replaced stays for who uses them, and no other does.
        let count = |kind: &str| fs::read_dir(other.root().join(kind)).unwrap().count();
        for number in 1..=2 {
            other.keep_step(&key(1), &found).unwrap();
            let reference = StoredReference { id: ContentDigest::of(&[number]), digest: None };
            other.keep_reference(&ImageName::new("a:1"), &reference).unwrap();
            assert_eq!((count("steps"), count("references")), (1 + usize::from(number), 1));
        }
        // A record whose layers are gone does not count.
        fs::remove_dir_all(other.root().join("l").join(&layers[0])).unwrap();
        assert!(other.step(&key(1)).is_none());
    }

    #[test]
    fn what_a_crash_may_have_damaged_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path().to_owned(), &SessionId::random()).unwrap();
        let keep = |store: &Store, text: &str| {
            let scratch = store.scratch().unwrap();
            fs::write(store.root().join(&scratch.changes.upper).join("x"), text).unwrap();
            let layers = vec![store.keep(&scratch, &key(1)).unwrap()];
            let step = StoredStep { layers, output: Recording::default(), from: Provenance::of_nothing() };
            store.keep_step(&key(1), &step).unwrap();
            fs::read_to_string(store.root().join("l").join(&step.layers[0]).join("x")).unwrap()
        };
        assert_eq!(keep(&store, "first"), "first");
        store.sound.crash(dir.path());
        assert!(store.step(&key(1)).is_none(), "nobody had it written to the disk");
        assert_eq!(keep(&store, "second"), "second", "it is not trusted");
        assert!(store.step(&key(1)).is_some());
        make_durable(dir.path(), &store.session().display().to_string()).unwrap();
        store.sound.crash(dir.path());
        assert!(store.step(&key(1)).is_some());
        assert_eq!(keep(&store, "third"), "second");
    }

    #[test]
    fn what_the_dead_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let [alive, dead] = [SessionId::random(), SessionId::random()];
        let store = Store::open(dir.path().to_owned(), &alive).unwrap();
        let left = Store::open(dir.path().to_owned(), &dead).unwrap();
        let scratch = left.scratch().unwrap();
        let lock = File::open(dir.path().join("scratch").join(dead.as_str()).join("lock")).unwrap();
        // As a killed process leaves it: unlocked, but there.
        flock(&left.lock, FlockOperation::Unlock).unwrap();
        std::mem::forget((left, scratch));
        drop(lock);
        // As a process leaves it that was killed a moment earlier.
        let younger = dir.path().join("scratch").join(SessionId::random().as_str());
        fs::create_dir(&younger).unwrap();
        let next = Store::open(dir.path().to_owned(), &SessionId::random()).unwrap();
        assert!(!dir.path().join("scratch").join(dead.as_str()).exists());
        assert!(!younger.exists());
        assert!(dir.path().join("scratch").join(alive.as_str()).exists());
        drop((store, next));
        assert_eq!(fs::read_dir(dir.path().join("scratch")).unwrap().count(), 0);
    }
}
