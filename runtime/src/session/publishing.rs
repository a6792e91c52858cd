//! Containers as images: pushed to registries, or written to files of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Inner, in_session, process};
use crate::engine::{Engine, ImageSpec};
use crate::event::{EventKind, Subject, Verb};
use crate::graph::{self, ContainerNode, Requirements};
use crate::model::ImageName;
use crate::staging::AtomicFile;
use crate::value::Container;
use crate::{Error, Result};

/// Pushes a container as an image, and returns its reference by digest.
pub(crate) async fn publish(container: Container, reference: String) -> Result<String> {
    let node = graph::lower_container(&container)?;
    let name = target(&reference).map_err(|problem| Error::invalid(Some(&node.name), problem))?;
    in_session(format!("publishing `{}`", node.name), |session| async move {
        let image = session.new_image(&node).await?;
        let engine = session.engine().await?;
        let span = session.span.child(Subject::Image { name: name.to_string().into() });
        let tell = span.clone();
        let progress = move |kind| tell.emit(|| kind);
        let published = engine.publish(&image, &name, &progress).await;
        span.close_with(&published);
        let digest = published?;
        let (repository, _) = name.reference.rsplit_once(':').unwrap_or((&name.reference, ""));
        Ok(format!("{repository}@{digest}"))
    })
    .await
}

/// Writes a container as an image into one file, which appears once it is complete.
pub(crate) async fn export_image(container: Container, path: PathBuf) -> Result<()> {
    let node = graph::lower_container(&container)?;
    in_session(format!("exporting `{}`", node.name), |session| async move {
        let image = session.new_image(&node).await?;
        let engine = session.engine().await?;
        let span = session.span.child(Subject::Image { name: path.display().to_string().into() });
        span.emit(|| EventKind::begins(Verb::Exporting));
        let exported = export_to(&path, &*engine, &image).await;
        span.close_with(&exported);
        exported
    })
    .await
}

async fn export_to(path: &Path, engine: &dyn Engine, image: &ImageSpec) -> Result<()> {
    let failed = |error| Error::io(path, error);
    let staged = AtomicFile::create(path).map_err(failed)?;
    let file = staged.file.try_clone().map_err(failed)?;
    engine.export(image, file).await?;
    staged.commit(path).map_err(failed)
}

/// The name to push to, if the reference allows it.
fn target(reference: &str) -> std::result::Result<ImageName, String> {
    crate::rules::image(reference).map_err(|problem| problem.to_string())?;
    let name = ImageName::new(reference);
    if name.file().is_some() {
        return Err(format!("`{reference}` is no place in a registry\n\nhelp: `export_image` writes files"));
    }
    if let Some((repository, _)) = reference.split_once('@') {
        return Err(format!(
            "`{reference}` names an image by what it is, which publishing finds out\n\nhelp: `{repository}` with a tag"
        ));
    }
    Ok(name)
}

impl Inner {
    /// Makes everything that the image consists of.
    async fn new_image(self: &Arc<Self>, node: &ContainerNode) -> Result<ImageSpec> {
        let evaluation = self.evaluation(Requirements::of_fs(&node.fs)).await?;
        let snapshot = evaluation.filesystem(&node.fs).await?;
        let ground = evaluation.image(node.config.image.as_ref());
        let platform = match ground {
            Some(image) => image.platform.clone(),
            None => evaluation.engine.describe().platform.clone(),
        };
        Ok(ImageSpec { snapshot, config: process::of_image(&node.config, ground), platform })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_in_a_registry_can_be_published_to() {
        assert_eq!(&*target("localhost:5000/app").unwrap().reference, "localhost:5000/app:latest");
        assert_eq!(&*target("acme/app:1").unwrap().reference, "docker.io/acme/app:1");
        let says = |reference: &str| target(reference).unwrap_err();
        assert!(says("Acme/app:1").contains("must be lowercase"));
        assert!(says("oci:./x").contains("help: `export_image` writes files"));
        let digest = format!("r.test/app@sha256:{:064}", 1);
        assert!(says(&digest).contains("help: `r.test/app` with a tag"), "{}", says(&digest));
    }
}
