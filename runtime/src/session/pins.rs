//! Images by digest: a lock file says what tags meant when it was written, so that they mean it wherever and whenever a
//! pipeline runs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Image;
use crate::error::Reason;
use crate::model::{ContentDigest, ImageName};
use crate::staging::AtomicFile;
use crate::{Error, Result, terminal};

/// The variable that says what tags mean.
const MODE: &str = "BOWLINE_IMAGES";
/// The name of the file, which is looked for in the working directory and above it.
const FILE: &str = "bowline.lock";
const VERSION: u32 = 1;

/// What the tags of a session's images mean.
#[derive(Debug)]
pub(super) enum Pins {
    /// What they mean today.
    Live,
    /// What the file says.
    Locked { path: PathBuf, images: BTreeMap<String, Entry>, is_frozen: bool },
}

/// Whether a pipeline obeys the lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Live,
    Pinned,
    Frozen,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Live, Self::Pinned, Self::Frozen];

    const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Pinned => "pinned",
            Self::Frozen => "frozen",
        }
    }

    /// What the environment says.
    pub(super) fn from_environment() -> Result<Self> {
        let value = std::env::var_os(MODE).unwrap_or_default();
        let known = Self::ALL.into_iter().find(|mode| value == mode.word());
        known.or_else(|| value.is_empty().then_some(Self::Live)).ok_or_else(|| {
            let message = format!(
                "{MODE}={} means nothing: it may be `live`, `pinned` or `frozen`\n\nhelp: `live`, the default, takes what a \
                 tag means today; `pinned` what {FILE} says, where it says something; `frozen` nothing else",
                terminal::plain(&value.to_string_lossy())
            );
            Error::invalid(None, message)
        })
    }
}

/// What is to be looked up for an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The image as it is called.
    Name,
    /// Another name for it, by digest.
    Pinned(ImageName),
    /// The image as it is called, if it is the one with this identity.
    Exactly(ContentDigest, PathBuf),
}

/// The contents of a lock file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Locked {
    version: u32,
    /// By the full reference, with the platform if one is asked for.
    images: BTreeMap<String, Entry>,
}

/// What an image was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    /// The digest of its manifest or index in its registry, which finds it again.
    Digest(ContentDigest),
    /// Its identity, if no registry had it: it can only be compared.
    Identity(ContentDigest),
}

impl Entry {
    pub(super) fn of(image: &Image) -> Self {
        image.digest.map_or(Self::Identity(image.id), Self::Digest)
    }
}

impl Pins {
    /// What the environment says.
    pub(super) fn from_environment() -> Result<Self> {
        let mode = Mode::from_environment()?;
        if mode == Mode::Live {
            return Ok(Self::Live);
        }
        let path = find().ok_or_else(|| {
            let mode = mode.word();
            let here = std::env::current_dir().unwrap_or_default();
            Error::invalid(
                None,
                format!(
                    "{MODE} is `{mode}`, and there is no {FILE} in {} or above it\n\nhelp: the subcommand `lock` of a \
                     pipeline's command line writes it, and so does `Session::lock`",
                    here.display()
                ),
            )
        })?;
        let images = read(&path)?.images;
        Ok(Self::Locked { path, images, is_frozen: mode == Mode::Frozen })
    }

    /// What to look up for an image.
    pub(super) fn meaning(&self, name: &ImageName) -> Result<Meaning> {
        let Self::Locked { path, images, is_frozen } = self else { return Ok(Meaning::Name) };
        if !can_be_locked(name) {
            return Ok(Meaning::Name);
        }
        match images.get(&name.to_string()) {
            Some(Entry::Digest(digest)) => {
                let repository = name.reference.rsplit_once(':').map_or(&*name.reference, |(start, _)| start);
                let reference = format!("{repository}@{digest}").into();
                Ok(Meaning::Pinned(ImageName { reference, platform: name.platform.clone() }))
            }
            Some(Entry::Identity(id)) => Ok(Meaning::Exactly(*id, path.clone())),
            None if *is_frozen => Err(Error::invalid(
                None,
                format!(
                    "image `{name}` is not in {}, and {MODE} is `frozen`\n\nhelp: add it with the subcommand `lock` of the \
                     pipeline's command line, or with `Session::lock`",
                    path.display()
                ),
            )),
            None => Ok(Meaning::Name),
        }
    }
}

/// The error if an image is not the one that was locked.
pub(super) fn compare(name: &ImageName, image: &Image, locked: &ContentDigest, path: &Path) -> Result<()> {
    if image.id == *locked {
        return Ok(());
    }
    Err(Error::invalid(
        None,
        format!(
            "image `{name}` is {}, and {} says that it is {locked}\n\nhelp: no registry had it when it was locked, so it \
             cannot be fetched: make it as it was, or lock what it is now",
            image.id,
            path.display()
        ),
    ))
}

/// Whether a reference may mean something else tomorrow, for everybody: it has a tag.
pub(super) fn can_be_locked(name: &ImageName) -> bool {
    name.file().is_none() && !name.reference.contains('@')
}

/// The file in the working directory or the nearest one above it.
fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|directory| directory.join(FILE)).find(|path| path.is_file())
}

/// Where a lock file belongs: the one that is there, else beside the nearest `Cargo.lock`, else here.
#[cfg(feature = "cli")]
pub(crate) fn place() -> PathBuf {
    find().unwrap_or_else(|| {
        let here = std::env::current_dir().unwrap_or_default();
        let beside = here.ancestors().find(|directory| directory.join("Cargo.lock").is_file());
        beside.unwrap_or(&here).join(FILE)
    })
}

fn read(path: &Path) -> Result<Locked> {
    let broken = |why: String| {
        let help = "write it anew: remove it, and lock again with the subcommand `lock`, or `Session::lock`";
        Error::invalid(None, format!("{}: {why}\n\nhelp: {help}", path.display()))
    };
    let text =
        std::fs::read(path).map_err(|error| Error::io(path, Reason::said(error.to_string(), error)))?;
    let locked: Locked = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    if locked.version != VERSION {
        return Err(broken(format!(
            "it has the version {}, and this bowline reads version {VERSION}",
            locked.version
        )));
    }
    Ok(locked)
}

/// Adds images to a lock file, which is made if it is not there. Others stay, as several programs may share it.
pub(super) fn write(path: &Path, images: BTreeMap<String, Entry>) -> Result<()> {
    let mut locked =
        if path.exists() { read(path)? } else { Locked { version: VERSION, ..Locked::default() } };
    locked.images.extend(images);
    let mut text = serde_json::to_string_pretty(&locked).map_err(Error::internal)?;
    text.push('\n');
    let written = AtomicFile::create(path).and_then(|mut staged| {
        staged.file.write_all(text.as_bytes())?;
        staged.commit(path)
    });
    written.map_err(|error| Error::io(path, Reason::said(format!("cannot be written: {error}"), error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> ContentDigest {
        format!("sha256:{number:064}").parse().unwrap()
    }

    fn locked(images: &[(&str, Entry)], is_frozen: bool) -> Pins {
        let images = images.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
        Pins::Locked { path: "/p/bowline.lock".into(), images, is_frozen }
    }

    #[test]
    fn a_tag_means_what_was_locked() {
        let pins = locked(
            &[
                ("docker.io/library/redis:7", Entry::Digest(digest(7))),
                ("localhost:5000/a:1 for linux/arm64", Entry::Digest(digest(1))),
                ("docker.io/library/own:1", Entry::Identity(digest(2))),
            ],
            false,
        );
        let meaning = |reference: &str, platform: Option<&str>| {
            pins.meaning(&ImageName { platform: platform.map(Into::into), ..ImageName::new(reference) })
                .unwrap()
        };
        let pinned =
            |reference: String| Meaning::Pinned(ImageName { reference: reference.into(), platform: None });
        assert_eq!(meaning("redis:7", None), pinned(format!("docker.io/library/redis@{}", digest(7))));
        let Meaning::Pinned(arm) = meaning("localhost:5000/a:1", Some("linux/arm64")) else { panic!() };
        assert_eq!(
            (&*arm.reference, arm.platform.as_deref()),
            (&*format!("localhost:5000/a@{}", digest(1)), Some("linux/arm64"))
        );
        assert_eq!(meaning("own:1", None), Meaning::Exactly(digest(2), "/p/bowline.lock".into()));
        for other in ["redis:8", "localhost:5000/a:1", "redis:7@sha256:ab", "oci:./x:redis:7"] {
            assert_eq!(meaning(other, None), Meaning::Name, "{other}");
        }
    }

    #[test]
    fn a_frozen_pipeline_takes_no_other_tag() {
        let pins = locked(&[], true);
        let error = pins.meaning(&ImageName::new("redis:7")).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"
        image `docker.io/library/redis:7` is not in /p/bowline.lock, and BOWLINE_IMAGES is `frozen`

        help: add it with the subcommand `lock` of the pipeline's command line, or with `Session::lock`
        ");
        for fixed in ["redis@sha256:ab", "docker-archive:./x.tar"] {
            assert_eq!(
                pins.meaning(&ImageName::new(fixed)).unwrap(),
                Meaning::Name,
                "{fixed} means one image for ever"
            );
        }
    }

    #[test]
    fn a_lock_file_keeps_what_others_have_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bowline.lock");
        let one = |name: &str, entry| BTreeMap::from([(name.to_owned(), entry)]);
        write(&path, one("b:1", Entry::Digest(digest(1)))).unwrap();
        write(&path, one("a:1", Entry::Identity(digest(2)))).unwrap();
        write(&path, one("b:1", Entry::Digest(digest(3)))).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap(), @r#"
        {
          "version": 1,
          "images": {
            "a:1": {
              "identity": "sha256:0000000000000000000000000000000000000000000000000000000000000002"
            },
            "b:1": {
              "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000003"
            }
          }
        }
        "#);
        assert_eq!(read(&path).unwrap().images.len(), 2);
    }

    #[test]
    fn a_lock_file_that_cannot_be_read_is_said_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bowline.lock");
        let short =
            format!(r#"{{"version": 1, "images": {{"a:1": {{"digest": "sha256:{}"}}}}}}"#, "0".repeat(63));
        for text in
            ["", "{", "[]", r#"{"version": 2, "images": {}}"#, r#"{"images": {}}"#, &short, "version = 1"]
        {
            std::fs::write(&path, text).unwrap();
            let error = write(&path, BTreeMap::new()).unwrap_err().to_string();
            assert!(error.contains("bowline.lock: ") && error.contains("help: "), "{text}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
