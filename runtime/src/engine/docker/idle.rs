//! Containers that are never started, for access to the files of images.

use std::sync::Arc;

use bollard::models::ContainerCreateBody;

use super::cleaner::Container;
use super::{Shared, failure, labels};
use crate::Result;

/// A container of an image that is never started: it gives access to the image's files.
pub(super) async fn idle_container(shared: &Arc<Shared>, image: &str) -> Result<Container> {
    const WHAT: &str = "look into a file system";
    shared.check_open(WHAT)?;
    shared.guarded().await;
    let container = Container::new(&shared.cleaner, shared.number('r'));
    let mut labels_of = labels::of(&shared.session, "reader");
    labels_of.insert(labels::KIND.to_owned(), labels::KIND_READER.to_owned());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Never run; but the engine refuses a container without a command.
        entrypoint: Some(vec!["bowline".to_owned()]),
        // Otherwise the engine would create the image's working directory if it is missing.
        working_dir: Some("/".to_owned()),
        labels: Some(labels_of),
        network_disabled: Some(true),
        ..Default::default()
    };
    let create = async move { container.create(body).await.map_err(failure::during(WHAT)) };
    shared.cleaner.to_its_end(WHAT, create).await
}
