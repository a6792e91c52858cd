//! Diagnosis of the engines on this machine.

use std::fmt;

use super::Description;
use super::choice::{CHOICE, Wanted, wanted};
use crate::Error;
#[cfg(native_engine)]
use crate::model::SessionId;
use crate::terminal;

/// What each engine can do here, in words: made by [`doctor`] and read by printing it.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    engines: Vec<Examined>,
    chosen: String,
}

/// One engine.
#[derive(Debug, Clone)]
struct Examined {
    name: &'static str,
    /// A description of the engine, or the reasons why it cannot run, one a line.
    outcome: Result<String, Vec<String>>,
    /// What pipelines cannot do with this engine here.
    lacks: Vec<String>,
}

/// Asks every engine whether it can run pipelines on this machine, and what it cannot do: for people who wonder why one
/// engine was chosen and not another. It starts nothing and takes at most 2 s, or 35 s if Docker is reached over ssh.
///
/// ```no_run
/// # async fn wondering() {
/// eprintln!("{}", bowline::doctor().await);
/// # }
/// ```
///
/// ```text
/// docker: ready, version 28.2.2, linux/amd64
/// native: cannot run
///   native: there is no `newuidmap`
///
///   help: install it (Debian's package `uidmap`, Fedora's `shadow-utils`)
/// pipelines run on: docker
/// ```
pub async fn doctor() -> Diagnosis {
    let (docker, native) = tokio::join!(Box::pin(examine_docker()), Box::pin(examine_native()));
    let chosen = match wanted() {
        Ok(Wanted::Any) if docker.outcome.is_ok() => "docker".to_owned(),
        Ok(Wanted::Any) if native.outcome.is_ok() => "native, as no Docker answers".to_owned(),
        Ok(Wanted::Any) => "nothing: no engine can run here".to_owned(),
        Ok(Wanted::Docker) => format!("docker, as {CHOICE} says"),
        Ok(Wanted::Native) => format!("native, as {CHOICE} says"),
        Err(error) => format!("nothing: {error}"),
    };
    Diagnosis { engines: vec![docker, native], chosen }
}

fn examined(name: &'static str, found: Result<Description, Error>, lacks: Vec<String>) -> Examined {
    let outcome = match found {
        Ok(Description { version, platform, .. }) => Ok(format!("version {version}, {platform}")),
        Err(Error::EngineUnreachable { tried }) => Err(tried),
        Err(other) => Err(vec![other.to_string()]),
    };
    let lacks = if outcome.is_ok() { lacks } else { Vec::new() };
    Examined { name, outcome, lacks }
}

#[cfg(feature = "docker")]
async fn examine_docker() -> Examined {
    let found = super::docker::connect().await;
    examined("docker", found.map(|connection| connection.describe()), Vec::new())
}

#[cfg(not(feature = "docker"))]
async fn examine_docker() -> Examined {
    examined("docker", Err(super::choice::not_built("docker")), Vec::new())
}

#[cfg(native_engine)]
async fn examine_native() -> Examined {
    use super::Engine as _;
    let mut lacks = super::native::lacks();
    let found = match super::native::Native::open(&SessionId::random(), None, Vec::new()).await {
        Ok(native) => {
            let tried = native.try_overlay().await;
            lacks.extend(native.lacks().await);
            // Removes what was made for the diagnosis.
            let _ = native.close().await;
            tried.map(|()| native.describe().clone())
        }
        Err(error) => Err(error),
    };
    examined("native", found, lacks)
}

#[cfg(not(native_engine))]
async fn examine_native() -> Examined {
    examined("native", Err(super::choice::not_built("native")), Vec::new())
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Examined { name, outcome, lacks } in &self.engines {
            match outcome {
                Ok(found) => {
                    writeln!(f, "{name}: ready, {}", terminal::plain(found))?;
                }
                Err(reasons) => {
                    writeln!(f, "{name}: cannot run")?;
                    let shown = |reason| terminal::plain(reason);
                    reasons.iter().try_for_each(|reason| writeln!(f, "  {}", shown(reason)))?;
                }
            }
            lacks.iter().try_for_each(|lack| writeln!(f, "  lacks {lack}"))?;
        }
        write!(f, "pipelines run on: {}", self.chosen)
    }
}
