//! Many steps of one container, with the engine's bare API.

use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig};
use futures_util::StreamExt as _;

use crate::raw::{Raw, on_runtime};
use crate::{Result, Run, say};

pub(crate) const STEPS: usize = 20;
pub(crate) const IMAGE: &str = "debian:12";

/// The command line of a step.
pub(crate) fn command(step: usize) -> String {
    format!("head -c 10000 /dev/urandom >/step-{step}")
}

fn shell(step: usize) -> Vec<String> {
    ["/bin/sh".to_owned(), "-c".to_owned(), command(step)].to_vec()
}

fn body(image: &str, arguments: Vec<String>) -> ContainerCreateBody {
    ContainerCreateBody { image: Some(image.to_owned()), entrypoint: Some(arguments), ..Default::default() }
}

/// A container and a commit for every step. A container is removed while the next one runs.
pub(crate) fn commit_each(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let (mut image, mut last): (_, Option<String>) = (IMAGE.to_owned(), None);
        for step in 0..STEPS {
            let next = async {
                let container = raw.create(&step.to_string(), body(&image, shell(step))).await?;
                raw.run_to_end(&container).await?;
                Ok::<_, Box<_>>((raw.commit(&container).await?, container))
            };
            let remove = async {
                match &last {
                    Some(container) => raw.remove(container).await,
                    None => Ok(()),
                }
            };
            let (made, container) = tokio::try_join!(next, remove)?.0;
            (image, last) = (made, Some(container));
        }
        say("result kept");
        raw.remove(&last.unwrap_or_default()).await
    })
}

/// One live container; an exec and a commit for every step.
pub(crate) fn exec_and_commit_each(run: &Run) -> Result<()> {
    exec_steps(run, true)
}

/// One live container; an exec for every step, and one commit.
pub(crate) fn exec_each(run: &Run) -> Result<()> {
    exec_steps(run, false)
}

fn exec_steps(run: &Run, commit_each: bool) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let mut sleeper = body(IMAGE, ["sleep", "600"].map(str::to_owned).to_vec());
        sleeper.host_config = Some(HostConfig { init: Some(true), ..Default::default() });
        let container = raw.create("steps", sleeper).await?;
        raw.start(&container).await?;
        for step in 0..STEPS {
            exec(&raw, &container, shell(step)).await?;
            if commit_each || step + 1 == STEPS {
                raw.commit(&container).await?;
            }
        }
        say("result kept");
        raw.remove(&container).await
    })
}

async fn exec(raw: &Raw, container: &str, arguments: Vec<String>) -> Result<()> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(arguments),
        ..Default::default()
    };
    let exec = raw.docker.create_exec(container, config).await?;
    if let StartExecResults::Attached { mut output, .. } = raw.docker.start_exec(&exec.id, None).await? {
        while let Some(piece) = output.next().await {
            piece?;
        }
    }
    match raw.docker.inspect_exec(&exec.id).await?.exit_code {
        Some(0) => Ok(()),
        other => Err(format!("a step ended with {other:?}").into()),
    }
}
