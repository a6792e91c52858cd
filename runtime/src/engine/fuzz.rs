//! Entry points for fuzzing: one for each parser of input from images, registries, engines and users' files.
//!
//! Each takes any bytes and must return, without a panic and within memory that does not depend on the bytes' claims.
//! `runtime/fuzz` feeds them with libFuzzer; the tests feed them the resulting corpus, and mutations of it.

#![cfg_attr(not(fuzzing), allow(unreachable_pub))]

#[cfg(test)]
mod tests;

use std::path::Path;

#[cfg(feature = "docker")]
pub use super::docker::fuzz::answers;
#[cfg(native_engine)]
pub use super::native::fuzz::{Jail, question, wire};

use super::oci::{Configuration, Document, archive};
use super::user::User;
use crate::model::{ImageFile, ImageFileKind, ImageName};
use crate::patterns::Patterns;

/// `.dockerignore` patterns; after an empty line, paths to match.
pub fn patterns(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (file, paths) = text.split_once("\n\n").unwrap_or((&text, "a/b.log"));
    let Ok(patterns) = Patterns::of_file(file) else { return };
    for path in paths.lines().filter(|path| !path.is_empty()).map(Path::new) {
        let deciding = patterns.deciding_from_the_root(path);
        if !patterns.may_differ_below(path, deciding) {
            let below = patterns.deciding(&path.join("below"), deciding);
            assert_eq!(patterns.names(below), patterns.names(deciding), "below `{}`", path.display());
        }
    }
}

/// Documents of a registry or an image layout: a manifest, an index or a configuration.
pub fn documents(data: &[u8]) {
    for said in [
        None,
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.oci.image.manifest.v1+json"),
    ] {
        if let Ok(Document::Index(index)) = Document::parse(data, said) {
            for asked in [None, Some("linux/arm64"), Some("linux/arm/v7")] {
                let _ = index.choose(asked, "linux/amd64");
            }
        }
    }
    if let Ok(configuration) = Configuration::parse(data) {
        let _ = (configuration.layers(), configuration.config());
    }
}

/// An image archive: as `docker save` writes it, and as an OCI layout. `scratch` is overwritten.
///
/// # Panics
/// If a layer's range lies outside the file.
pub fn image_file(data: &[u8], scratch: &Path) {
    std::fs::write(scratch, data).expect("the scratch file can be written");
    let Some(path) = scratch.to_str() else { return };
    for kind in [ImageFileKind::DockerArchive, ImageFileKind::OciLayout] {
        let file = ImageFile { kind, path, name: None };
        let found = archive::find(&ImageName::new("oci:./x"), &file, "linux/amd64");
        for layer in found.iter().flat_map(|image| &image.layers) {
            let _ = (layer.offset, layer.size);
        }
    }
}

/// A user as a pipeline or an image names it, with the image's `/etc/passwd` and `/etc/group`, separated by zero bytes.
///
/// # Panics
/// If the result is the user id that the kernel takes to mean "unchanged".
pub fn users(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\0');
    let [wanted, passwd, group] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let found = [User::find(wanted, passwd, group).ok(), User::by_number(wanted)];
    for user in found.into_iter().flatten() {
        assert!(user.uid != u32::MAX && user.gid != u32::MAX && !user.groups.contains(&u32::MAX), "{user:?}");
    }
}
