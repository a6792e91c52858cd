//! Services: started, heard until they end, asked, signalled, removed.

use std::fmt;
use std::sync::{Arc, Mutex};

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::query_parameters::KillContainerOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::attach::{self, End};
use super::cleaner::Container;
use super::create::{self, Created, Reach, Recipe};
use super::failure::{self, BRIEF, within};
use super::{Shared, labels, lock, names};
use crate::engine::{
    Call, Exit, Instance, ProbeProgress, ServiceSpec, Sink, StepOutput,
};
use crate::value::Port;
use crate::{Error, Result};

/// A service's container.
struct Running {
    shared: Arc<Shared>,
    name: String,
    process: Exec,
    /// Taken by `remove`; dropped with this otherwise, which removes the container too.
    container: Mutex<Option<Container>>,
    end: watch::Receiver<Option<Result<Exit>>>,
    task: tokio::task::AbortHandle,
    target: Target,
}

/// What commands inside get.
struct Exec {
    env: Vec<String>,
    user: String,
    workdir: String,
}

#[derive(Debug, Clone)]
struct Target {
    container: String,
}

/// Starts a service; ready or not.
pub(super) async fn start(shared: &Arc<Shared>, service: ServiceSpec, log: Sink) -> Result<Arc<dyn Instance>> {
    let ServiceSpec { name, hostname, filesystem, process, links } = service;
    let what = format!("start service {name}");
    let command = process.args.first().cloned().unwrap_or_default();
    let recipe = Recipe {
        container: names::service(&shared.session, &hostname),
        name: &name,
        kind: labels::KIND_SERVICE,
        hostname: &hostname,
        filesystem: &filesystem,
        process: Some(&process),
        links: &links,
        reach: Reach::Services,
    };
    let Created { container, .. } = create::create(shared, recipe).await?;
    let output = attach::attach(shared, container.name()).await?;
    shared.network.begin(shared).await?;
    let container = attach::start(shared, container, &what, &command).await?;
    let target = Target { container: container.name().to_owned() };

    let (tell, end) = watch::channel(None);
    let hearing = hear(Arc::clone(shared), container.name().to_owned(), output, log, what, command);
    let task = tokio::spawn(async move {
        let end = hearing.await;
        tell.send_replace(Some(end));
    });
    let set = process.env.iter().chain(&process.secret_env);
    let running = Running {
        shared: Arc::clone(shared),
        name,
        process: Exec {
            env: set.map(|(name, value)| format!("{name}={value}")).collect(),
            user: process.user,
            workdir: process.workdir,
        },
        container: Mutex::new(Some(container)),
        end,
        task: task.abort_handle(),
        target,
    };
    Ok(Arc::new(running))
}

async fn hear(
    shared: Arc<Shared>,
    container: String,
    output: attach::Output,
    log: Sink,
    what: String,
    command: String,
) -> Result<Exit> {
    match attach::hear_out(&shared, &container, output, &log).await? {
        End::Exit(exit) => Ok(exit),
        End::NotFound => Err(attach::not_found(&what, &command)),
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).field("target", &self.target).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Instance for Running {
    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async move {
            let mut end = self.end.clone();
            let found = end.wait_for(Option::is_some).await.map(|end| (*end).clone());
            found.ok().flatten().unwrap_or_else(|| {
                Err(Error::Cancelled { what: format!("service {}", self.name), reason: "it was removed".to_owned() })
            })
        })
    }

    fn wait_ports<'a>(&'a self, _ports: &'a [Port], _progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move { Err(Error::engine("probe", "not there yet")) })
    }

    fn wait_http<'a>(&'a self, _port: u16, _path: &'a str, _progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move { Err(Error::engine("probe", "not there yet")) })
    }

    fn exec<'a>(&'a self, args: &'a [String]) -> Call<'a, StepOutput> {
        Box::pin(self.run_inside(args))
    }

    fn signal<'a>(&'a self, signal: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let options = KillContainerOptionsBuilder::default().signal(signal).build();
            match within(BRIEF, self.shared.client.kill_container(&self.target.container, Some(options))).await {
                Ok(()) => Ok(()),
                // It is gone, or not running.
                Err(error) if failure::is_absent(&error) || failure::is_conflict(&error) => Ok(()),
                Err(error) => Err(failure::during(format!("send {signal} to service {}", self.name))(error)),
            }
        })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(async move {
            let container = lock(&self.container).take();
            match container {
                Some(container) => container.remove().await,
                // Somebody else removes it: come back when it is gone.
                None => self.shared.cleaner.remove_container(&self.target.container).await,
            }
        })
    }
}

impl Running {
    /// Runs a command inside, to its end.
    async fn run_inside(&self, args: &[String]) -> Result<StepOutput> {
        let what = || format!("run `{}` in service {}", args.first().map_or("", String::as_str), self.name);
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(args.to_vec()),
            env: Some(self.process.env.clone()),
            user: Some(self.process.user.clone()),
            working_dir: Some(self.process.workdir.clone()),
            ..Default::default()
        };
        let client = &self.shared.client;
        let exec = within(BRIEF, client.create_exec(&self.target.container, config))
            .await
            .map_err(failure::during(what()))?;
        let started = within(BRIEF, client.start_exec(&exec.id, None)).await.map_err(failure::during(what()))?;
        let mut output = StepOutput::default();
        if let StartExecResults::Attached { output: mut pieces, .. } = started {
            while let Some(Ok(piece)) = pieces.next().await {
                match piece {
                    bollard::container::LogOutput::StdOut { message } => output.stdout.extend_from_slice(&message),
                    bollard::container::LogOutput::StdErr { message } => output.stderr.extend_from_slice(&message),
                    _ => {}
                }
            }
        }
        let ended = within(BRIEF, client.inspect_exec(&exec.id)).await.map_err(failure::during(what()))?;
        output.exit_code = ended.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(255);
        Ok(output)
    }
}
