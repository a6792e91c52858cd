//! Images in files of this machine: OCI image layouts, and archives in the format of `docker save`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::{Configuration, Descriptor, Document, Index, Manifest, Platform, Saved};
use crate::engine::ImageConfig;
use crate::model::{ContentDigest, ImageFile, ImageFileKind, ImageName};
use crate::regular::{self, DOCUMENT_AT_MOST};
use crate::{Error, Result};

/// The most that is read of an archive to find its entries: the headers of a hundred thousand.
const HEADERS_AT_MOST: u64 = 64 << 20;

/// An image in files.
#[derive(Debug)]
pub(crate) struct Archived {
    /// The digest of its configuration.
    pub(crate) id: ContentDigest,
    /// The configuration's bytes as they are in the file.
    pub(crate) document: Vec<u8>,
    pub(crate) config: ImageConfig,
    pub(crate) platform: Platform,
    /// Layers, the lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// The position of a layer in a file. The layer may be compressed.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    /// Where the layer begins in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// The digest of the uncompressed archive, which the image's configuration calls `diff_id`.
    pub(crate) digest: ContentDigest,
}

/// Finds the image that a reference to files names, for an engine of the platform `own` (`os/architecture`).
pub(crate) fn find(name: &ImageName, file: &ImageFile<'_>, own: &str) -> Result<Archived> {
    let not_found = |message: String| {
        let help =
            "help: `docker save -o x.tar …` writes archives; paths are relative to the working directory";
        let message = if message.contains("help: ") { message } else { format!("{message}\n\n{help}") };
        Error::ImageNotFound { reference: name.reference.to_string(), message, locations: Vec::new() }
    };
    let image = read(file, name.platform.as_deref(), own).map_err(not_found)?;
    if !image.platform.fits(name.platform.as_deref(), own) {
        return Err(Error::PlatformNotFound {
            reference: name.reference.to_string(),
            platform: name.platform.as_deref().unwrap_or(own).to_owned(),
            found: image.platform.to_string(),
            message: String::new(),
            locations: Vec::new(),
        });
    }
    Ok(image)
}

/// Finds an image in an archive that an engine wrote, by the engine's id for it: the archive must contain that digest, as
/// the image's configuration, or as a manifest or index that leads to it.
pub(crate) fn called(
    archive: &Path,
    id: &ContentDigest,
    asked: Option<&str>,
    own: &str,
) -> std::result::Result<Archived, String> {
    let place = Place::open(archive)?;
    let saved = if place.locate("manifest.json").is_ok() { place.saved(None) } else { Err(String::new()) };
    if let Ok(saved) = saved
        && saved.id == *id
    {
        return Ok(saved);
    }
    let document =
        place.contents(id).map_err(|_| format!("the engine's archive of {id} has another image"))?;
    match Document::parse(&document, None)? {
        Document::Manifest(manifest) => place.image(&manifest),
        Document::Index(index) => place.led_to(index, None, asked, own),
    }
}

fn read(file: &ImageFile<'_>, asked: Option<&str>, own: &str) -> std::result::Result<Archived, String> {
    let path = Path::new(file.path);
    let at = |error: String| format!("{}: {error}", path.display());
    let place = Place::open(path).map_err(at)?;
    match file.kind {
        // Newer engines write both formats into one archive, and other tools only the OCI layout.
        ImageFileKind::DockerArchive if place.locate("manifest.json").is_ok() => place.saved(file.name),
        _ => place.laid_out(file.name, asked, own),
    }
    .map_err(at)
}

/// The files of an image: a directory, or an archive with the positions of its entries.
enum Place {
    Directory(PathBuf),
    Archive { path: PathBuf, entries: Entries, links: Links },
}

impl Place {
    fn open(path: &Path) -> std::result::Result<Self, String> {
        let known = fs::metadata(path).map_err(|error| error.to_string())?;
        if known.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut file = regular::open(path).map_err(|error| error.to_string())?;
        let mut start = [0; 2];
        let gzipped = file.read_exact(&mut start).is_ok() && start == [0x1f, 0x8b];
        if gzipped {
            return Err(
                "the archive is compressed\n\nhelp: `gunzip` it; its layers may stay as they are".to_owned()
            );
        }
        file.rewind().map_err(|error| error.to_string())?;
        let headers = Headers { inner: file, left: HEADERS_AT_MOST };
        let (entries, links) = index(headers).map_err(|error| format!("not a tar archive: {error}"))?;
        Ok(Self::Archive { path: path.to_owned(), entries, links })
    }

    /// Finds a file by its name in the image.
    fn locate(&self, name: &str) -> std::result::Result<(PathBuf, u64, u64), String> {
        let name = plain(Path::new(name));
        let missing = || format!("`{}` is missing", name.display());
        match self {
            Self::Directory(root) => {
                let path = root.join(&name);
                let known = fs::metadata(&path).map_err(|_| missing())?;
                regular::check(&known).map_err(|error| format!("`{}`: {error}", name.display()))?;
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
            if size > DOCUMENT_AT_MOST {
                let most = DOCUMENT_AT_MOST >> 20;
                return Err(io::Error::other(format!("no such document is larger than {most} MiB")));
            }
            let mut file = regular::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut contents = Vec::new();
            file.take(size).read_to_end(&mut contents)?;
            Ok(contents)
        };
        read().map_err(|error| format!("`{name}`: {error}"))
    }

    /// Reads and verifies the blob of a descriptor.
    fn blob(&self, descriptor: &Descriptor) -> std::result::Result<Vec<u8>, String> {
        self.contents(&descriptor.digest)
    }

    fn contents(&self, digest: &ContentDigest) -> std::result::Result<Vec<u8>, String> {
        let contents = self.document(&blob_name(digest))?;
        let found = ContentDigest::of(&contents);
        if found == *digest {
            Ok(contents)
        } else {
            Err(format!("a blob is not what it is called: {digest} is {found}"))
        }
    }

    /// Reads the format of `docker save`, which lists every image with its names.
    fn saved(&self, name: Option<&str>) -> std::result::Result<Archived, String> {
        let manifests = Saved::parse(&self.document("manifest.json")?)?;
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

    /// Reads an OCI image layout.
    fn laid_out(
        &self,
        name: Option<&str>,
        asked: Option<&str>,
        own: &str,
    ) -> std::result::Result<Archived, String> {
        let Document::Index(mut index) = Document::parse(&self.document("index.json")?, None)? else {
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
        self.led_to(index, name, asked, own)
    }

    /// Follows indexes to the image for a platform.
    fn led_to(
        &self,
        mut index: Index,
        name: Option<&str>,
        asked: Option<&str>,
        own: &str,
    ) -> std::result::Result<Archived, String> {
        // An index may contain another, one for each platform; no tool nests them deeper.
        for _ in 0..4 {
            let names: Vec<&str> = index.manifests.iter().filter_map(Descriptor::name).collect();
            if name.is_none() && names.len() > 1 {
                return Err(several(names.into_iter()));
            }
            let chosen = index.choose(asked, own);
            let chosen = chosen.map_err(|found| {
                format!("there is no image for {}, but for {found}", asked.unwrap_or(own))
            })?;
            match Document::parse(&self.blob(chosen)?, chosen.media_type.as_deref())? {
                Document::Index(next) => index = next,
                Document::Manifest(manifest) => return self.image(&manifest),
            }
        }
        Err("its indexes lead to indexes only".to_owned())
    }

    fn image(&self, manifest: &Manifest) -> std::result::Result<Archived, String> {
        let place = |layer: &Descriptor| self.locate(&blob_name(&layer.digest));
        made(self.blob(&manifest.config)?, manifest.layers.iter().map(place).collect())
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
    let layer =
        |((path, offset, size), digest): (_, &ContentDigest)| Layer { path, offset, size, digest: *digest };
    let layers = places.into_iter().zip(digests).map(layer).collect();
    let config = configuration.config();
    let id = ContentDigest::of(&document);
    Ok(Archived { id, document, config, platform: configuration.platform, layers })
}

/// The entry name of a blob (OCI image layout specification, "blobs").
pub(crate) fn blob_name(digest: &ContentDigest) -> String {
    format!("blobs/sha256/{}", digest.hash())
}

fn several<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let first = names.first().copied().unwrap_or("<name>");
    format!("there are several images: {}\n\nhelp: add `:{first}` to the path", names.join(", "))
}

fn none<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("there is no image `{name}`, but: {}", names.collect::<Vec<_>>().join(", "))
}

/// Limits the bytes read to what headers may take.
struct Headers<R> {
    inner: R,
    /// How many more bytes may be read.
    left: u64,
}

impl<R: io::Read> io::Read for Headers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other("it has more entries, or longer names, than any image"))?;
        Ok(length)
    }
}

impl<R: io::Seek> io::Seek for Headers<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// The offset and size of each file, by name.
type Entries = BTreeMap<PathBuf, (u64, u64)>;
type Links = BTreeMap<PathBuf, PathBuf>;

/// Indexes an archive by reading only its headers.
fn index(archive: impl io::Read + io::Seek) -> io::Result<(Entries, Links)> {
    let (mut entries, mut links) = (Entries::new(), Links::new());
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = plain(&entry.path()?);
        match (entry.header().entry_type(), entry.link_name()?) {
            // Older engines write a layer once, and refer to it by links.
            (tar::EntryType::Symlink, Some(target)) => {
                let parent = name.parent().unwrap_or(Path::new("")).to_owned();
                links.insert(name, plain(&parent.join(target)));
            }
            (tar::EntryType::Link, Some(target)) => {
                links.insert(name, plain(&target));
            }
            (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                entries.insert(name, (entry.raw_file_position(), entry.size()));
            }
            _ => {}
        }
    }
    Ok((entries, links))
}

/// Normalises a path: without `.` and the root, and with `..` resolved, never beyond the root.
pub(crate) fn plain(path: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests;
