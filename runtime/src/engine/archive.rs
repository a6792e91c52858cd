//! Images that are files of this machine: OCI image layouts, and archives as `docker save` writes them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::Digest as _;

use super::ImageConfig;
use super::oci::{Configuration, Descriptor, Document, Platform};
use crate::graph::{ImageFile, ImageFileKind, ImageName};
use crate::{Digest, Error, Result};

/// No manifest or configuration is as large.
const DOCUMENT_AT_MOST: u64 = 16 << 20;

/// An image in files.
#[derive(Debug)]
pub(crate) struct Archived {
    /// The digest of its configuration.
    pub(crate) id: Digest,
    /// The configuration, as it is written.
    pub(crate) document: Vec<u8>,
    pub(crate) config: ImageConfig,
    pub(crate) platform: Platform,
    /// The lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// Where a layer is. It may be compressed.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Of the unpacked archive: what the image's configuration calls `diff_id`.
    pub(crate) digest: Digest,
}

/// Finds the image that a reference to files leads to, for an engine of a platform, `os/architecture`.
pub(crate) fn find(name: &ImageName, file: &ImageFile<'_>, own: &str) -> Result<Archived> {
    let not_found = |message: String| {
        let help =
            "help: `docker save -o x.tar …` writes archives; paths are relative to the working directory";
        let message = if message.contains("help: ") { message } else { format!("{message}\n\n{help}") };
        Error::ImageNotFound { reference: name.reference.to_string(), message }
    };
    let image = read(file, name.platform.as_deref(), own).map_err(not_found)?;
    if !image.platform.fits(name.platform.as_deref(), own) {
        return Err(Error::PlatformNotFound {
            reference: name.reference.to_string(),
            platform: name.platform.as_deref().unwrap_or(own).to_owned(),
            found: image.platform.to_string(),
            message: String::new(),
        });
    }
    Ok(image)
}

/// The one image of an archive.
pub(crate) fn only_one(archive: &Path) -> std::result::Result<Archived, String> {
    let place = Place::open(archive)?;
    place.saved(None)
}

fn read(file: &ImageFile<'_>, asked: Option<&str>, own: &str) -> std::result::Result<Archived, String> {
    let path = Path::new(file.path);
    let at = |error: String| format!("{}: {error}", path.display());
    let place = Place::open(path).map_err(at)?;
    match file.kind {
        // Newer engines write both forms into one archive, and other tools only the layout.
        ImageFileKind::DockerArchive if place.locate("manifest.json").is_ok() => place.saved(file.name),
        _ => place.laid_out(file.name, asked, own),
    }
    .map_err(at)
}

/// Where the files of an image are: a directory, or an archive with the places of its entries.
enum Place {
    Directory(PathBuf),
    Archive { path: PathBuf, entries: BTreeMap<PathBuf, (u64, u64)>, links: BTreeMap<PathBuf, PathBuf> },
}

/// `manifest.json` of an archive as `docker save` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Place {
    fn open(path: &Path) -> std::result::Result<Self, String> {
        let known = fs::metadata(path).map_err(|error| error.to_string())?;
        if known.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut start = [0; 2];
        let gzipped = File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
            && start == [0x1f, 0x8b];
        if gzipped {
            return Err(
                "the archive is compressed\n\nhelp: `gunzip` it; its layers may stay as they are".to_owned()
            );
        }
        index(path).map_err(|error| format!("not a tar archive: {error}"))
    }

    /// A file, by its name in the image.
    fn locate(&self, name: &str) -> std::result::Result<(PathBuf, u64, u64), String> {
        let name = plain(Path::new(name));
        let missing = || format!("`{}` is missing", name.display());
        match self {
            Self::Directory(root) => {
                let path = root.join(&name);
                let known = fs::metadata(&path).map_err(|_| missing())?;
                Ok((path, 0, known.len()))
            }
            Self::Archive { path, entries, links } => {
                let target = links.get(&name).unwrap_or(&name);
                let (offset, size) = entries.get(target).ok_or_else(missing)?;
                Ok((path.clone(), *offset, *size))
            }
        }
    }

    fn document(&self, name: &str) -> std::result::Result<Vec<u8>, String> {
        let (path, offset, size) = self.locate(name)?;
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut contents = Vec::new();
            file.take(size.min(DOCUMENT_AT_MOST)).read_to_end(&mut contents)?;
            Ok(contents)
        };
        read().map_err(|error| format!("`{name}`: {error}"))
    }

    /// What a descriptor names (OCI image layout specification, "blobs").
    fn blob(&self, descriptor: &Descriptor) -> std::result::Result<Vec<u8>, String> {
        let digest = descriptor.digest()?;
        let contents = self.document(&blob_name(&digest))?;
        let found = of(&contents);
        if found == digest {
            Ok(contents)
        } else {
            Err(format!("a blob is not what it is called: sha256:{digest} is sha256:{found}"))
        }
    }

    /// As `docker save` writes it, with every image under its names.
    fn saved(&self, name: Option<&str>) -> std::result::Result<Archived, String> {
        let manifests: Vec<Saved> = serde_json::from_slice(&self.document("manifest.json")?)
            .map_err(|error| format!("`manifest.json`: {error}"))?;
        let tags = || manifests.iter().flat_map(|image| image.repo_tags.iter().flatten());
        let is_called =
            |image: &&Saved| image.repo_tags.iter().flatten().any(|tag| Some(tag.as_str()) == name);
        let image = match (name, manifests.as_slice()) {
            (None, [only]) => only,
            (None, _) => return Err(several(tags().map(String::as_str))),
            (Some(name), all) => {
                all.iter().find(is_called).ok_or_else(|| none(name, tags().map(String::as_str)))?
            }
        };
        let places = image.layers.iter().map(|layer| self.locate(layer)).collect();
        made(self.document(&image.config)?, places)
    }

    /// As the OCI image layout specification has it.
    fn laid_out(
        &self,
        name: Option<&str>,
        asked: Option<&str>,
        own: &str,
    ) -> std::result::Result<Archived, String> {
        let Document::Index(mut index) = Document::parse(&self.document("index.json")?)? else {
            return Err("`index.json` is no image index".to_owned());
        };
        if let Some(name) = name {
            let names: Vec<String> =
                index.manifests.iter().filter_map(|found| found.name().map(str::to_owned)).collect();
            index.manifests.retain(|found| found.name() == Some(name));
            if index.manifests.is_empty() {
                return Err(none(name, names.iter().map(String::as_str)));
            }
        }
        // An index may lead to another, for the platforms; no tool nests them deeper.
        for _ in 0..4 {
            let names: Vec<&str> = index.manifests.iter().filter_map(Descriptor::name).collect();
            if name.is_none() && names.len() > 1 {
                return Err(several(names.into_iter()));
            }
            let chosen = index.choose(asked, own);
            let chosen = chosen.map_err(|found| {
                format!("there is no image for {}, but for {found}", asked.unwrap_or(own))
            })?;
            match Document::parse(&self.blob(chosen)?)? {
                Document::Index(next) => index = next,
                Document::Manifest(manifest) => {
                    let place = |layer: &Descriptor| self.locate(&blob_name(&layer.digest()?));
                    return made(self.blob(&manifest.config)?, manifest.layers.iter().map(place).collect());
                }
            }
        }
        Err("its indexes lead to indexes only".to_owned())
    }
}

fn made(
    document: Vec<u8>,
    places: std::result::Result<Vec<(PathBuf, u64, u64)>, String>,
) -> std::result::Result<Archived, String> {
    let configuration = Configuration::parse(&document)?;
    let (places, digests) = (places?, configuration.layers()?);
    if digests.len() != places.len() {
        return Err("its configuration is of another image".to_owned());
    }
    let layer = |((path, offset, size), digest)| Layer { path, offset, size, digest };
    let layers = places.into_iter().zip(digests).map(layer).collect();
    let config = configuration.config();
    Ok(Archived { id: of(&document), document, config, platform: configuration.platform, layers })
}

fn of(contents: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(contents).into())
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

fn several<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let first = names.first().copied().unwrap_or("<name>");
    format!("there are several images: {}\n\nhelp: add `:{first}` to the path", names.join(", "))
}

fn none<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("there is no image `{name}`, but: {}", names.collect::<Vec<_>>().join(", "))
}

/// Reads the headers only.
fn index(path: &Path) -> io::Result<Place> {
    let (mut entries, mut links) = (BTreeMap::new(), BTreeMap::new());
    let mut archive = tar::Archive::new(File::open(path)?);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = plain(&entry.path()?);
        match (entry.header().entry_type(), entry.link_name()?) {
            // Older engines write a layer once, and name it again.
            (tar::EntryType::Symlink, Some(target)) => {
                let parent = name.parent().unwrap_or(Path::new("")).to_owned();
                links.insert(name, plain(&parent.join(target)));
            }
            (tar::EntryType::Link, Some(target)) => {
                links.insert(name, plain(&target));
            }
            _ => {
                entries.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
    }
    Ok(Place::Archive { path: path.to_owned(), entries, links })
}

/// Without `.` and the root, and with `..` taken for what it means: never out of the place.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(part) => plain.push(part),
            _ => {}
        }
    }
    plain
}
