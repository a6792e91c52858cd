//! One spelling for every image reference.

use std::fmt;
use std::sync::Arc;

/// Identifies an image: a reference, and the platform if it is not the engine's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ImageName {
    /// In its [canonical] form.
    pub(crate) reference: Arc<str>,
    /// `os/architecture[/variant]` (OCI image index specification, "platform").
    pub(crate) platform: Option<Arc<str>>,
}

impl ImageName {
    pub(crate) fn new(reference: &str) -> Self {
        Self { reference: canonical(reference).into(), platform: None }
    }
}

/// An image that is a file or a directory of this machine, as containers-transports(5) writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageFile<'a> {
    pub(crate) kind: ImageFileKind,
    pub(crate) path: &'a str,
    /// The name of one image, where the files hold several.
    pub(crate) name: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageFileKind {
    OciLayout,
    DockerArchive,
}

impl ImageName {
    /// The file or directory, if the reference is not to a registry.
    pub(crate) fn file(&self) -> Option<ImageFile<'_>> {
        let (prefix, rest) = crate::rules::image_file(&self.reference)?;
        let kind = if prefix == "oci" { ImageFileKind::OciLayout } else { ImageFileKind::DockerArchive };
        let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
        Some(ImageFile { kind, path, name })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference)?;
        match &self.platform {
            Some(platform) => write!(f, " for {platform}"),
            None => Ok(()),
        }
    }
}

/// The full form of a reference, as the Docker tools complete it: `redis` is `docker.io/library/redis:latest`.
///
/// A digest identifies an image completely, so a tag beside it is dropped.
fn canonical(reference: &str) -> String {
    if crate::rules::image_file(reference).is_some() {
        return reference.to_owned();
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let repository = match repository.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => repository
            .strip_prefix("index.docker.io/")
            .map_or_else(|| repository.to_owned(), |rest| format!("docker.io/{rest}")),
        Some(_) => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    };
    match (digest, tag) {
        (Some(digest), _) => format!("{repository}@{digest}"),
        (None, tag) => format!("{repository}:{}", tag.unwrap_or("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_as_docker_does() {
        assert_eq!(canonical("redis"), "docker.io/library/redis:latest");
        assert_eq!(canonical("redis:7"), "docker.io/library/redis:7");
        assert_eq!(canonical("acme/api:2"), "docker.io/acme/api:2");
        assert_eq!(canonical("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(canonical("index.docker.io/acme/api:2"), "docker.io/acme/api:2");
        assert_eq!(canonical("redis:7@sha256:ab"), "docker.io/library/redis@sha256:ab");
    }

    #[test]
    fn files_are_told_from_registries() {
        let name = ImageName::new("oci:./build/image:v1");
        let file = name.file().unwrap();
        assert_eq!(
            (file.kind, file.path, file.name),
            (ImageFileKind::OciLayout, "./build/image", Some("v1"))
        );
        let name = ImageName::new("docker-archive:/a.tar:redis:7");
        let file = name.file().unwrap();
        assert_eq!(
            (file.kind, file.path, file.name),
            (ImageFileKind::DockerArchive, "/a.tar", Some("redis:7"))
        );
        // A repository may have that name.
        assert_eq!(canonical("oci:latest"), "docker.io/library/oci:latest");
        assert!(ImageName::new("oci:latest").file().is_none());
    }
}
