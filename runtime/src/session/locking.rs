//! Locking images: looking up what the tags of a pipeline mean, and writing it down.

use std::path::PathBuf;

use futures_util::future::try_join_all;

use super::pins::{self, Entry};
use super::{Session, in_session};
use crate::graph::{self, Requirements};
use crate::value::{Directory, File, Item, ItemHandle};
use crate::{Error, Result};

impl Session {
    /// Writes down what the images of these items mean now, so that a tag that moves changes no result. Every image that a
    /// tag names is looked up, as when it is used, and added to the file, or replaced there; what the file says of other
    /// images stays, as several programs may share one.
    ///
    /// The file is JSON, to be committed: by the full reference of each image the digest that its registry has it under, or
    /// the image's own identity if it came from no registry. The environment variable `BOWLINE_IMAGES` says whether a
    /// pipeline obeys it:
    ///
    /// | | |
    /// | --- | --- |
    /// | `live` | no: a tag means what the engine, or the registry, says today (the default) |
    /// | `pinned` | an image that is in the file is the one that was locked |
    /// | `frozen` | the same, and an image that is not in the file is an error |
    ///
    /// It is looked for as `bowline.lock` in the working directory and in those above it.
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::prelude::*;
    /// use bowline::Session;
    ///
    /// let p = pipeline! {
    ///     container test { image "python:3.11"; exec ["python3", "--version"]; }
    /// };
    /// Session::current().lock(&p.items(), "bowline.lock").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if a definition has a mistake, or the file is no lock file; [`Error::ImageNotFound`] and others if
    /// an image cannot be found; [`Error::Io`] if the file cannot be written. Then it stays as it was.
    pub async fn lock(&self, items: &[Item], path: impl Into<PathBuf>) -> Result<()> {
        self.locked(items, path.into()).await.map(drop)
    }

    /// The same; returns how many images were locked.
    pub(crate) async fn locked(&self, items: &[Item], path: PathBuf) -> Result<usize> {
        let requirements = requirements(items)?;
        let work = in_session("the images' lock".to_owned(), |session| async move {
            let images = requirements.images.into_iter().filter(|(name, _)| pins::can_be_locked(name));
            let find = images.map(|(name, places)| {
                let session = &session;
                async move {
                    let places: Vec<_> = places.into_iter().collect();
                    match session.live_image(&name, &places).await {
                        Ok(image) => Ok::<_, Error>((name.to_string(), Entry::of(&image))),
                        Err(error) => Err(error.at(places)),
                    }
                }
            });
            let found: std::collections::BTreeMap<_, _> = try_join_all(find).await?.into_iter().collect();
            let number = found.len();
            pins::write(&path, found)?;
            Ok(number)
        });
        self.scope(work).await
    }
}

/// What all items need.
fn requirements(items: &[Item]) -> Result<Requirements> {
    let mut all = Requirements::default();
    for item in items {
        let container = match &item.handle {
            ItemHandle::Service(service) => {
                all.extend(Requirements::of_service(&graph::lower_service(service)?));
                continue;
            }
            ItemHandle::Container(container) => container,
            ItemHandle::Directory(Directory { at }) | ItemHandle::File(File { at }) => &at.container,
            ItemHandle::Cache(_) | ItemHandle::Secret(_) => continue,
        };
        all.extend(Requirements::of_fs(&graph::lower_container(container)?.fs));
    }
    Ok(all)
}
