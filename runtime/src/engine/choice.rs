//! The choice of the engine that a pipeline runs on.

use std::sync::Arc;

use super::Engine;
#[cfg(native_engine)]
use super::source::ImageSource;
use crate::home;
use crate::model::SessionId;
use crate::terminal;
use crate::{Error, Result};

/// The variable that chooses the engine; without it, the first that answers is taken.
pub(super) const CHOICE: &str = "BOWLINE_ENGINE";

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whichever there is.
    Any,
    Docker,
    Native,
}

/// Which engine the environment chooses.
pub(super) fn wanted() -> Result<Wanted> {
    match std::env::var_os(CHOICE).unwrap_or_default().to_string_lossy().as_ref() {
        "" => Ok(Wanted::Any),
        "docker" => Ok(Wanted::Docker),
        "native" => Ok(Wanted::Native),
        other => Err(Error::invalid(
            None,
            format!(
                "{CHOICE}={} means nothing: it may be `docker` or `native`\n\nhelp: leave it away for whichever there is; Podman, and whatever else speaks the Docker API, is `docker`, with DOCKER_HOST at its socket",
                terminal::plain(other)
            ),
        )),
    }
}

/// Checks the variables that engines read, before anything runs. That of the choice is not read if the program has chosen.
pub(crate) fn check_environment(chosen: Option<&str>) -> Result<()> {
    if chosen.is_none() {
        wanted()?;
    }
    #[cfg(native_engine)]
    super::native::check_environment()?;
    Ok(())
}

/// Finds and opens an engine for one session: the one of this name, else the one that the environment chooses.
pub(crate) async fn open(session: &SessionId, chosen: Option<&str>) -> Result<Arc<dyn Engine>> {
    let wanted = match chosen {
        Some("docker") => Wanted::Docker,
        Some("native") => Wanted::Native,
        _ => wanted()?,
    };
    // Boxed, so that the large future of each engine takes no room in pipelines that use another.
    match wanted {
        Wanted::Any => Box::pin(open_any(session)).await,
        Wanted::Docker => Box::pin(open_docker(session)).await,
        Wanted::Native => Box::pin(open_native(session, Vec::new())).await,
    }
}

/// Docker if one answers, else the native engine if it can run.
async fn open_any(session: &SessionId) -> Result<Arc<dyn Engine>> {
    let mut tried = match open_docker(session).await {
        Err(Error::EngineUnreachable { tried }) if cfg!(native_engine) => tried,
        other => return other,
    };
    open_native(session, tried.clone()).await.map_err(|error| {
        tried.push(format!("native: {error}"));
        Error::EngineUnreachable { tried }
    })
}

#[cfg(feature = "docker")]
async fn open_docker(session: &SessionId) -> Result<Arc<dyn Engine>> {
    let connection = super::docker::connect().await?;
    Ok(super::docker::Docker::open(&connection, session.clone(), Some(home::place())).await?)
}

#[cfg(not(feature = "docker"))]
async fn open_docker(_: &SessionId) -> Result<Arc<dyn Engine>> {
    Err(not_built("docker"))
}

#[cfg(native_engine)]
async fn open_native(session: &SessionId, tried: Vec<String>) -> Result<Arc<dyn Engine>> {
    Ok(super::native::Native::open(session, images(), tried).await?)
}

/// The image source of the native engine besides registries: a Docker engine that answers.
#[cfg(all(native_engine, feature = "docker"))]
#[expect(clippy::unnecessary_wraps, reason = "without Docker there is none")]
fn images() -> Option<Box<dyn ImageSource>> {
    Some(Box::new(super::docker::DockerImages::default()))
}

#[cfg(all(native_engine, not(feature = "docker")))]
fn images() -> Option<Box<dyn ImageSource>> {
    None
}

#[cfg(not(native_engine))]
async fn open_native(_: &SessionId, _: Vec<String>) -> Result<Arc<dyn Engine>> {
    Err(not_built("native"))
}

#[cfg(not(all(feature = "docker", native_engine)))]
pub(super) fn not_built(feature: &str) -> Error {
    let reason = match feature {
        "native" if cfg!(feature = "native") => {
            "native: it runs on Linux only, on x86-64 and ARM64".to_owned()
        }
        _ => format!("{feature}: bowline was built without the feature `{feature}`"),
    };
    Error::EngineUnreachable { tried: vec![reason] }
}
