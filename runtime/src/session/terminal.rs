//! Terminals: a person sits at a process in a running service, or in a container made for it.

use std::sync::Arc;

use futures_util::future::{try_join, try_join_all};

use super::execute::InService;
use super::in_span;
use super::sharing::own_caches;
use super::steps::{Evaluation, ReadyStep};
use super::stored::Need;
#[cfg(unix)]
use super::tty::Screen;
use crate::event::{EventKind, Span};
use crate::graph::{self, Requirements, Step};
use crate::model::{Exit, Location};
use crate::value::{Container, Exec, Service};
use crate::{Error, Result};

/// Called when the terminal is about to be used. What it gives lives until the terminal is the program's again.
pub(crate) type Opened = Box<dyn FnOnce() -> Box<dyn Send> + Send>;

/// Runs a command in a service, at the program's own terminal, and gives its exit code.
pub(crate) async fn service_terminal(service: Service, command: InService, opened: Opened) -> Result<i32> {
    let node = graph::lower_service(&service)?;
    let at = command.at;
    in_span(format!("terminal in service `{}`", node.name), vec![at], move |session, span| async move {
        let screen = Screen::claim(&node.name).map_err(|error| error.at([at]))?;
        let lease = session.use_service(&node).await?;
        let running = lease.running();
        let (command, secrets) = command.reveal(running, &span)?;
        span.emit(|| EventKind::Started { args: secrets.scrub_args(&command.args) });
        let sitting = async {
            let terminal = running.instance.open(command, screen.size()).await?;
            screen.attach(terminal, opened).await
        };
        let exit = tokio::select! {
            exit = sitting => exit.map_err(|error| secrets.scrub_error(error).at([at])),
            error = running.broken() => Err(error),
        };
        let ended = match exit {
            Ok(exit) if exit.success() => Ok(exit),
            // The service may have ended.
            Ok(exit) => running.ended().await.map_or(Ok(exit), Err),
            Err(error) => Err(running.ended_or(error).await),
        };
        finished(&span, ended)
    })
    .await
}

/// The same in a container that starts with another's result.
#[track_caller]
pub(crate) fn container_terminal(
    container: Container,
    args: Vec<String>,
    opened: Opened,
    at: Location,
) -> impl Future<Output = Result<i32>> + Send {
    // As a step of its own: it has the container's configuration, mounts and bindings, and everything before it has run.
    let container = container.exec(Exec::new(args).uncached());
    async move {
        let node = graph::lower_container(&container)?;
        let last = node.last.clone();
        let step = last.ok_or_else(|| Error::internal("a container without its last step"))?;
        in_span(format!("terminal in container `{}`", node.name), vec![at], move |session, span| async move {
            let screen = Screen::claim(&node.name).map_err(|error| error.at([at]))?;
            let evaluation = session.evaluation(Requirements::of_step(&step)).await?;
            let exit = evaluation.sit_at(&step, &span, &screen, opened).await;
            finished(&span, exit.map_err(|error| error.at([at])))
        })
        .await
    }
}

fn finished(span: &Span, exit: Result<Exit>) -> Result<i32> {
    let exit = exit?;
    // Whatever a person leaves a shell with.
    span.emit(|| EventKind::Finished { exit, success: true });
    Ok(exit.code)
}

impl Evaluation {
    async fn sit_at(
        self: &Arc<Self>,
        step: &Arc<Step>,
        span: &Arc<Span>,
        screen: &Screen,
        opened: Opened,
    ) -> Result<Exit> {
        let _pins = self.pin(&step.bindings)?;
        try_join_all(step.inputs().map(|input| self.step(input))).await?;
        let lease = self.lease(&step.bindings, span);
        let lay_out = self.lay_out_step(step, span, Some(screen.size()), Need::Output);
        let (ReadyStep { spec, secrets, .. }, leases) = try_join(lay_out, lease).await?;
        self.replay_missing(step, &leases, span).await?;
        let (prepared, held) = self.with_caches(spec, &own_caches(&step.mounts), span).await?;
        span.emit(|| EventKind::Started {
            args: secrets.scrub_args(step.args.as_deref().unwrap_or_default()),
        });
        let sitting = async {
            let terminal = prepared.open().await.map_err(|error| secrets.scrub_error(error))?;
            screen.attach(terminal, opened).await
        };
        let exit = tokio::select! {
            exit = sitting => exit,
            error = leases.broken() => Err(error),
        };
        held.release().await?;
        exit
    }
}

/// Where nothing is known of terminals.
#[cfg(not(unix))]
struct Screen;

#[cfg(not(unix))]
impl Screen {
    fn claim(name: &str) -> Result<Self> {
        let message = "terminals are for Linux and macOS\n\nhelp: `exec` runs a command without one";
        Err(Error::invalid(Some(name), message))
    }

    fn size(&self) -> crate::model::WindowSize {
        crate::model::WindowSize { columns: 80, rows: 24 }
    }

    async fn attach(&self, _: crate::engine::Terminal, _: Opened) -> Result<Exit> {
        Err(Error::internal("there is no terminal"))
    }
}
