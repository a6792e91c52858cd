//! Terminals in running services and in containers.

use std::future::IntoFuture;
use std::pin::Pin;

use crate::model::Location;
use crate::value::{Argument, Container, Exec, Service, arg};
use crate::{Error, Result, arguments, report, session};

/// `bash` where there is one, else `sh`.
const SHELL: &str = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";

impl Service {
    /// Opens a shell in the running service, at the terminal that the program runs at: `bash` if the service has it, else
    /// `sh`, with the environment, user and working directory of the service's own process. Awaiting it gives the shell's
    /// exit code, when the person has left it.
    ///
    /// What is typed goes to the container, Ctrl-C too, and its terminal is as large as this one. However it ends, this
    /// terminal is as it was before. The log waits meanwhile: nothing of it is lost. What the terminal shows may contain
    /// secrets.
    ///
    /// The service is in use meanwhile, as by any client.
    ///
    /// ```no_run
    /// # async fn example(db: bowline::Service) -> bowline::Result<()> {
    /// db.terminal().await?;
    /// db.terminal().command(["psql", "-U", "postgres"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When awaited: [`Error::Invalid`] if standard input or standard output is not a terminal, if the program runs in the
    /// background, or if it has another terminal open; [`Error::ServiceExited`] if the service ends meanwhile; otherwise
    /// whatever prevents the service's start.
    #[track_caller]
    pub fn terminal(&self) -> Terminal {
        Terminal { of: Of::Service(self.clone()), args: None, at: Location::caller() }
    }
}

impl Container {
    /// Runs the container as [`sync`](Self::sync) does, and opens a shell in its result, at the terminal that the program runs
    /// at: with its files, configuration and mounts, and its services running. What is changed there is gone afterwards, except
    /// on caches.
    ///
    /// Everything else is as with [`Service::terminal`]. After a failure, the same in what the failed command left:
    ///
    /// ```no_run
    /// # async fn example(tests: bowline::Container) -> bowline::Result<()> {
    /// if let Err(error) = tests.sync().await {
    ///     if let Some(container) = error.container() {
    ///         container.terminal().await?;
    ///     }
    ///     return Err(error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Service::terminal`], and as [`sync`](Self::sync). If one of its services ends meanwhile, so does the shell:
    /// [`Error::ServiceExited`].
    #[track_caller]
    pub fn terminal(&self) -> Terminal {
        Terminal { of: Of::Container(self.clone()), args: None, at: Location::caller() }
    }
}

/// A terminal in a service or a container: see [`Service::terminal`] and [`Container::terminal`]. Awaiting it gives an exit
/// code.
#[derive(Debug, Clone)]
#[must_use = "a terminal opens when it is awaited"]
pub struct Terminal {
    of: Of,
    args: Option<Vec<String>>,
    at: Location,
}

#[derive(Debug, Clone)]
enum Of {
    Service(Service),
    Container(Container),
}

impl Terminal {
    /// Runs this command in place of a shell: `["psql", "-U", "postgres"]`.
    pub fn command<A: Argument>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(arg).collect());
        self
    }

    async fn open(self) -> Result<i32> {
        let Self { of, args, at } = self;
        let name = match &of {
            Of::Service(service) => service.name(),
            Of::Container(container) => container.name(),
        };
        let args = args.unwrap_or_else(|| ["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec());
        if let Err(problem) = arguments::command("command", &args) {
            return Err(Error::invalid(name, problem.to_string()).at([at]));
        }
        let opened: session::Opened = Box::new(|| Box::new(report::pause()));
        match of {
            Of::Service(service) => {
                let (service, command) = service.exec(Exec::new(args)).written_at(at).checked()?;
                session::service_terminal(service, command, opened).await
            }
            Of::Container(container) => session::container_terminal(container, args, opened, at).await,
        }
    }
}

impl IntoFuture for Terminal {
    type Output = Result<i32>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}
