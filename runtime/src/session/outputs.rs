//! What the last step of a container wrote, and its exit code.

use std::path::PathBuf;
use std::sync::Arc;

use super::stored::StepResult;
use super::{current, in_session, results};
use crate::engine::{OutputReader, Recording, Written};
use crate::graph::{self, Requirements};
use crate::model::{Digest, Stream};
use crate::value::{Container, Output};
use crate::{Error, Result, StepCause, staging};

/// Runs a container up to its last step.
async fn last_step<T: Send + 'static, F>(
    container: Container,
    then: impl FnOnce(Result<Arc<StepResult>>, Option<Digest>) -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let (node, at) = (graph::lower_container(&container)?, container.location());
    let Some(last) = node.last.clone() else {
        let message = "no command has been run\n\nhelp: add `exec [...]`";
        return Err(Error::invalid(Some(&node.name), message).at([at]));
    };
    in_session(format!("container `{}`", node.name), |session| async move {
        let evaluation = match session.evaluation(Requirements::of_step(&last)).await {
            Ok(evaluation) => evaluation,
            Err(error) => return then(Err(error), None).await,
        };
        then(evaluation.step(&last).await, Some(evaluation.key(&last))).await
    })
    .await
}

pub(crate) async fn output(container: Container) -> Result<Output> {
    last_step(container, |done, _| async move {
        let Recording { stdout, stderr, exit_code } = &done?.output;
        let (stdout, stderr) = (stdout.here().await?, stderr.here().await?);
        let exit_code = *exit_code;
        results::blocking(move || {
            Ok(Output { stdout: in_memory(&stdout)?, stderr: in_memory(&stderr)?, exit_code })
        })
        .await
    })
    .await
}

/// A reader of what the last step wrote to one stream.
pub(crate) async fn stream(container: Container, stream: Stream) -> Result<OutputReader> {
    last_step(container, move |done, _| async move {
        let output = &done?.output;
        let written = match stream {
            Stream::Stdout => &output.stdout,
            Stream::Stderr => &output.stderr,
        };
        Ok(written.here().await?.reader())
    })
    .await
}

/// One stream as text.
pub(crate) async fn text(container: Container, which: Stream) -> Result<String> {
    let reader = stream(container, which).await?;
    let bytes = current::run(results::blocking(move || in_memory(reader.source()))).await?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Saves one stream to a file.
pub(crate) async fn save_stream(container: Container, which: Stream, to: PathBuf) -> Result<()> {
    let reader = stream(container, which).await?;
    current::run(results::blocking(move || {
        let write = || {
            let mut staged = staging::AtomicFile::create(&to)?;
            reader.source().write_to(&mut staged.file)?;
            staged.commit(&to)
        };
        write().map_err(|error| Error::io(&to, error))
    }))
    .await
}

/// The exit code of the last step, whatever was expected.
pub(crate) async fn exit_code(container: Container) -> Result<i32> {
    last_step(container, |done, last| async move {
        match done {
            Ok(done) => Ok(done.output.exit_code),
            Err(Error::StepFailed(error))
                if error.key == last && matches!(error.cause, StepCause::Failed | StepCause::Succeeded) =>
            {
                Ok(error.exit.code)
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// The largest stream that is returned as one value: 1 GiB.
pub(super) const AT_ONCE: u64 = 1 << 30;

fn in_memory(stream: &Written) -> Result<Vec<u8>> {
    if stream.length() > AT_ONCE {
        let message = format!(
            "the command wrote {} bytes to one stream, and {AT_ONCE} is the most that is given at once\n\nhelp: `stdout_reader()` and `save_stdout_to(path)` do not hold it in memory",
            stream.length()
        );
        return Err(Error::invalid(None, message));
    }
    stream.to_vec().map_err(|error| Error::engine("read what a command wrote", error))
}
