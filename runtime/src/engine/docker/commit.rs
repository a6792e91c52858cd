//! Images made of containers.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{ContainerConfig, HealthConfig};
use bollard::query_parameters::CommitContainerOptionsBuilder;

use super::facts::{facts, image_id};
use super::failure::{self, BRIEF, LONG, within};
use super::held::variables;
use super::import::relabel;
use super::{Shared, labels, names};
use crate::Result;
use crate::engine::ImageConfig;

/// The command of an image that is never run: without any, the engine would take the container's own.
pub(super) const NO_COMMAND: &str = "bowline";

/// Makes an image of a container.
///
/// The engine completes the given configuration with the container's own (moby, `daemon/commit.go`, `merge`), so
/// everything that must not be in the image is set to something else. Variables are named without values: then containers
/// of the image do not have them unless they are given them.
pub(super) async fn commit(
    shared: &Shared,
    container: &str,
    variables: &[String],
    image: Option<&str>,
    mut labels: HashMap<String, String>,
) -> Result<String> {
    for label in [labels::SESSION, labels::OWNER, labels::KIND] {
        labels.entry(label.to_owned()).or_default();
    }
    let config = ContainerConfig {
        entrypoint: Some(Vec::new()),
        cmd: Some(vec![NO_COMMAND.to_owned()]),
        env: Some(variables.to_vec()),
        working_dir: Some("/".to_owned()),
        user: Some("0".to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        labels: Some(labels),
        ..Default::default()
    };
    let mut options = CommitContainerOptionsBuilder::default().container(container).pause(false);
    if let Some((repository, tag)) = image.and_then(|image| image.rsplit_once(':')) {
        options = options.repo(repository).tag(tag);
    }
    let made = within(LONG, shared.client.commit_container(options.build(), config))
        .await
        .map_err(failure::during("keep a file system"))?;
    Ok(image_id(Some(&made.id))?.to_string())
}

/// As [`commit`], for a container that was given secrets. Engines before 25 put the container's whole configuration
/// beside the image's, including the values of variables, so the image is made again from its layers alone.
pub(super) async fn commit_without_config(
    shared: &Arc<Shared>,
    container: &str,
    variables: &[String],
    image: &str,
    labels: HashMap<String, String>,
) -> Result<String> {
    let draft = commit(shared, container, variables, None, HashMap::new()).await?;
    let drafted = facts(shared, &draft).await?;
    let command = vec![NO_COMMAND.to_owned()];
    let config = ImageConfig { command, labels: labels.into_iter().collect(), ..ImageConfig::default() };
    let made = relabel(shared, &drafted, image, &config).await;
    shared.cleaner.remove_image(&draft).await;
    made
}

/// Makes an image of a held container, which lives as long as the session.
pub(super) async fn commit_held(shared: &Arc<Shared>, container: &str) -> Result<String> {
    let (shared, container) = (Arc::clone(shared), container.to_owned());
    let cleaner = shared.cleaner.clone();
    let commit = async move {
        let inspected = within(BRIEF, shared.client.inspect_container(&container, None))
            .await
            .map_err(failure::during("find a held file system"))?;
        let variables = variables(&inspected.config.and_then(|config| config.env).unwrap_or_default());
        let mut labels = labels::of(&shared.session, &container);
        labels.remove(labels::SESSION);
        labels.insert(labels::HELD.to_owned(), shared.session.to_string());
        let image = names::held_image(&container);
        // It is no longer known whether a held container was given secrets: it is treated as if it was.
        commit_without_config(&shared, &container, &variables, &image, labels).await
    };
    cleaner.to_its_end("keep a file system", commit).await
}
