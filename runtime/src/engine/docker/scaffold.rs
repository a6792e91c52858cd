//! The scaffold: what an engine puts into every container for its own purposes: mount points, and files to mount over.
//!
//! The engine makes it in a layer between the image and the container's changes: directories only where the image has
//! none, but files always, hiding the image's own (moby, `daemon/initlayer/setup_unix.go`). So the scaffold is in no
//! image that is made of a container, but in every container that an image is read through, and no file of such a name
//! there is the image's. Directories differ from the image's only by their time: they are made with the container. The
//! file that the engine's init process is mounted over is made when a container is started, and is in the result of the
//! step.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, ListContainersOptions};

use super::Shared;
use super::entries::{self, Entry, Names};
use super::failure::{self, BRIEF, within};
use super::path::{follow, kind};
use super::readers::{Files, Looking};
use crate::model::EntryKind;
use crate::{Error, Result};

/// Made with a container: empty files, a link, and directories that the image does not have.
const FILES: [&str; 5] = [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

const DIRECTORIES: [&str; 4] = ["dev/pts", "dev/shm", "proc", "sys"];

const LINK: &str = "etc/mtab";

/// Made when a container is started: an empty file in `/sbin`, which may be a link to any of these.
const INIT: [&str; 4] =
    ["sbin/docker-init", "usr/sbin/docker-init", "bin/docker-init", "usr/bin/docker-init"];

/// Parents of these, made with them. An empty one counts as the image's own, unless `/proc` and `/sys` are the engine's
/// too: then the image is not of a kind that has them.
const PARENTS: [&str; 3] = ["dev", "etc", "sbin"];

/// The engine's part of what is below a path of a container.
#[derive(Debug, Clone)]
pub(super) struct Scaffold {
    /// The path, from the root.
    at: PathBuf,
    /// When the oldest container that the image is read through was made, in seconds since 1970.
    made: i64,
    /// Whether empty [`PARENTS`] are the engine's.
    has_parents: bool,
}

/// Whether the engine mounts something over this path in containers that have run, so that processes never saw the file.
pub(super) fn is_mounted_over(path: &str) -> bool {
    let mut over = ["etc/hostname", "etc/hosts", "etc/resolv.conf"].iter();
    over.any(|own| Path::new(own).starts_with(path.trim_matches('/')))
}

/// The metadata of a path.
#[derive(Debug, Clone, Copy)]
struct Found {
    kind: EntryKind,
    size: u64,
    /// In seconds since 1970.
    modified: i64,
}

/// The engine's part of what is at a path, links followed; `None` if there cannot be any.
pub(super) async fn of(
    shared: &Arc<Shared>,
    files: &Files,
    looking: &Looking,
    path: &str,
) -> Result<Option<Scaffold>> {
    let at = path.trim_matches('/');
    let mut all = FILES.iter().chain(&DIRECTORIES).chain(&INIT).chain([&LINK]);
    if !all.any(|own| Path::new(own).starts_with(at)) {
        return Ok(None);
    }
    let made = made(shared, files.oldest(looking)).await?;
    let mut scaffold = Scaffold { at: PathBuf::from(at), made, has_parents: false };
    if at.is_empty() {
        let mut is_own = true;
        for path in ["proc", "sys"] {
            let found = look(shared, looking.name(), path).await?;
            is_own &= found.is_none_or(|found| scaffold.is_own(Path::new(path), found));
        }
        scaffold.has_parents = is_own;
    }
    Ok(Some(scaffold))
}

/// Whether the engine's init process was mounted over a file in the container.
pub(super) async fn has_init(shared: &Shared, looking: &Looking) -> Result<bool> {
    let found = follow(shared, looking.name(), INIT[0]).await?;
    Ok(found.is_some_and(|(_, found)| kind(found.file_mode) == EntryKind::File && found.size == 0))
}

/// Whether a file in an image's layer is the one that the engine's init process is mounted over.
pub(super) fn is_init(path: &Path) -> bool {
    let path = path.strip_prefix("./").unwrap_or(path);
    INIT.iter().any(|init| Path::new(init) == path)
}

/// When a container was made. Read from a list of containers, for which the engine needs no container's lock.
async fn made(shared: &Shared, container: &str) -> Result<i64> {
    const WHAT: &str = "look into a file system";
    let filters = Some([("name".to_owned(), vec![format!("^/{container}$")])].into());
    let options = ListContainersOptions { all: true, filters, ..Default::default() };
    let listed =
        within(BRIEF, shared.client.list_containers(Some(options))).await.map_err(failure::during(WHAT))?;
    let made = listed.into_iter().find_map(|container| container.created);
    made.ok_or_else(|| {
        Error::engine(WHAT, format!("the engine does not have the container {container} any more"))
    })
}

async fn look(shared: &Shared, container: &str, path: &str) -> Result<Option<Found>> {
    let options = ContainerArchiveInfoOptionsBuilder::default().path(&format!("/{path}")).build();
    match within(BRIEF, shared.client.get_container_archive_info(container, Some(options))).await {
        Ok(found) => Ok(Some(Found {
            kind: kind(found.file_mode),
            size: u64::try_from(found.size).unwrap_or(0),
            modified: found.modification_time.as_deref().and_then(seconds).unwrap_or(0),
        })),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during(format!("look at `/{path}`"))(error)),
    }
}

impl Scaffold {
    /// Whether the path itself is the engine's.
    pub(super) fn is_all(&self, kind: EntryKind, size: i64, modified: Option<&str>) -> bool {
        let (size, modified) = (u64::try_from(size).unwrap_or(0), modified.and_then(seconds).unwrap_or(0));
        self.is_own(&self.at, Found { kind, size, modified })
    }

    fn is_own(&self, path: &Path, found: Found) -> bool {
        let is_one_of = |names: &[&str]| names.iter().any(|name| Path::new(name) == path);
        // Times are in whole seconds, from two clocks of one machine.
        let is_new = found.modified + 1 >= self.made;
        match found.kind {
            EntryKind::File => found.size == 0 && (is_one_of(&INIT) || is_one_of(&FILES) && is_new),
            EntryKind::Directory => is_one_of(&DIRECTORIES) && is_new,
            EntryKind::Symlink => is_one_of(&[LINK]) && is_new,
            EntryKind::Other => false,
        }
    }

    /// Whether a directory is the engine's unless it has entries that are not.
    fn may_be_own(&self, path: &Path, found: Found) -> bool {
        self.has_parents
            && found.kind == EntryKind::Directory
            && PARENTS.iter().any(|name| Path::new(name) == path)
            && found.modified + 1 >= self.made
    }
}

/// Reads an engine's archive as [`entries::entries`] does, skipping the scaffold.
pub(super) fn entries(
    archive: impl io::Read,
    names: Names,
    scaffold: Option<&Scaffold>,
    mut each: impl FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let Some(scaffold) = scaffold else { return entries::entries(archive, names, each) };
    // A directory that is skipped unless an entry of it follows.
    let mut waiting: Option<(PathBuf, entries::Head)> = None;
    entries::entries(archive, names, |entry| {
        let path = scaffold.at.join(&entry.path);
        let found = Found {
            kind: entry.kind(),
            size: entry.head.header.size().unwrap_or(0),
            modified: entry.head.header.mtime().map_or(0, |time| i64::try_from(time).unwrap_or(i64::MAX)),
        };
        if scaffold.is_own(&path, found) {
            return Ok(());
        }
        if let Some((parent, head)) = waiting.take_if(|(parent, _)| path.starts_with(parent)) {
            each(Entry { path: parent, hard_link: None, head, data: &mut io::empty() })?;
        }
        if scaffold.may_be_own(&path, found) {
            waiting = Some((entry.path, entry.head));
            return Ok(());
        }
        each(entry)
    })
}

/// Seconds since 1970 of an RFC 3339 time.
fn seconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Years are counted from March, so that a leap day is the last day of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes().first()? {
        b'Z' => 0,
        sign => {
            let part = |range: std::ops::Range<usize>| zone.get(range)?.parse::<i64>().ok();
            let offset = part(1..3)? * 3600 + part(4..6)? * 60;
            if *sign == b'-' { -offset } else { offset }
        }
    };
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T23:59:59.123456789Z"), Some(1_709_251_199));
        assert_eq!(seconds("2024-03-01T01:59:59.5+02:00"), Some(1_709_251_199));
        assert_eq!(seconds("2024-02-29T18:29:59-05:30"), Some(1_709_251_199));
        assert_eq!(seconds("2001-01-01T00:00:00Z"), Some(978_307_200));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), Some(-62_135_596_800));
        assert_eq!(seconds("today"), None);
    }

    /// The entries that are not skipped, of directories (with `/`) and empty files with these times.
    fn through(has_parents: bool, at: &str, entries_of: &[(&str, u64)]) -> Vec<String> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, time) in entries_of {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(*time);
            header.set_size(0);
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            archive.append_data(&mut header, format!("root/{name}"), io::empty()).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let scaffold = Scaffold { at: PathBuf::from(at), made: 1000, has_parents };
        let mut seen = Vec::new();
        entries(archive.as_slice(), Names::Below, Some(&scaffold), |entry| {
            seen.push(entry.path.display().to_string());
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn what_the_engine_made_is_left_out_and_what_the_image_has_is_not() {
        let of_the_engine = [
            (".dockerenv", 1000),
            ("dev/", 1000),
            ("dev/console", 1001),
            ("dev/pts/", 1000),
            ("etc/", 1000),
            ("etc/hosts", 999),
            ("proc/", 1000),
            ("sbin/", 1200),
            ("sbin/docker-init", 1200),
        ];
        assert!(through(true, "", &of_the_engine).is_empty());
        assert_eq!(through(false, "", &of_the_engine), ["dev", "etc", "sbin"]);
        let of_the_image = [
            (".dockerenv", 500),
            ("dev/", 1000),
            ("dev/null", 1),
            ("etc/", 1000),
            ("etc/hosts", 5),
            ("proc/", 20),
            ("srv/", 1000),
            ("srv/proc/", 1000),
        ];
        assert_eq!(
            through(true, "", &of_the_image),
            [".dockerenv", "dev", "dev/null", "etc", "etc/hosts", "proc", "srv", "srv/proc"]
        );
        assert_eq!(through(false, "etc", &[("hosts", 1000), ("passwd", 1000)]), ["passwd"]);
    }
}
