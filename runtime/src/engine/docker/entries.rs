//! An engine's archives, entry by entry: read, changed and written again.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::model::EntryKind;

/// An entry of an engine's archive, with names relative to the path that was asked for.
pub(super) struct Entry<'a> {
    /// Empty for the path itself.
    pub(super) path: PathBuf,
    /// The other entry of the archive that it is a hard link to.
    pub(super) hard_link: Option<PathBuf>,
    pub(super) head: Head,
    pub(super) data: &'a mut dyn Read,
}

/// The metadata of an entry, which precedes its data.
pub(super) struct Head {
    /// The target, if it is a symbolic link.
    symlink: Option<PathBuf>,
    pub(super) header: tar::Header,
    /// Extended attributes, and numbers and times that do not fit into the header.
    extensions: Vec<(String, Vec<u8>)>,
}

/// How names in an engine's archive begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// With the root.
    Whole,
    /// With the last part of the path that was asked for, which is removed.
    Below,
}

/// Reads the entries of an archive.
pub(super) fn entries(
    archive: impl Read,
    names: Names,
    mut each: impl FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let below =
            |path: &Path| path.components().skip(usize::from(names == Names::Below)).collect::<PathBuf>();
        let path = below(&entry.path()?);
        let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
        let mut header = entry.header().clone();
        header.set_size(entry.size());
        let extensions = extensions(&mut entry)?;
        let (hard_link, symlink) = match header.entry_type() {
            tar::EntryType::Link => (link.as_deref().map(below), None),
            tar::EntryType::Symlink => (None, link),
            _ => (None, None),
        };
        let head = Head { symlink, header, extensions };
        each(Entry { path, hard_link, head, data: &mut entry })?;
    }
    Ok(())
}

/// The entry's extended header, except what is written anew.
fn extensions<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let Some(extensions) = entry.pax_extensions()? else { return Ok(found) };
    for extension in extensions {
        let extension = extension?;
        let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
        if !["path", "linkpath", "size"].contains(&key.as_str()) {
            found.push((key, extension.value_bytes().to_vec()));
        }
    }
    Ok(found)
}

impl Entry<'_> {
    pub(super) fn kind(&self) -> EntryKind {
        match self.head.header.entry_type() {
            tar::EntryType::Directory => EntryKind::Directory,
            tar::EntryType::Symlink => EntryKind::Symlink,
            kind if kind.is_file() => EntryKind::File,
            _ => EntryKind::Other,
        }
    }

    /// Writes the entry in its present state.
    pub(super) fn append_to(self, archive: &mut tar::Builder<impl io::Write>) -> io::Result<()> {
        let Head { symlink, mut header, extensions } = self.head;
        if !extensions.is_empty() {
            let extensions = extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            archive.append_pax_extensions(extensions)?;
        }
        match self.hard_link.or(symlink) {
            Some(target) => archive.append_link(&mut header, &self.path, target),
            None => archive.append_data(&mut header, &self.path, self.data),
        }
    }
}

/// A small archive of files, in memory.
pub(super) fn archive(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        builder.append_data(&mut file_header(contents.len() as u64), path, *contents)?;
    }
    builder.into_inner()
}

pub(super) fn file_header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}
