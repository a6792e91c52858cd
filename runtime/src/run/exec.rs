//! Commands in running services.

use std::future::IntoFuture;
use std::net::IpAddr;
use std::pin::Pin;

use crate::model::{Located, Location};
use crate::rules::Problem;
use crate::session::{self, InService};
use crate::value::{
    EnvValue, EnvValueKind, Exec, ExecOptions, Expect, IntoDuration, IntoExec, Output, Service,
};
use crate::{Error, Result, arguments, paths, rules};

impl Service {
    /// Runs a command in the running service, with the environment, user and working directory of the service's own process:
    /// a list of arguments, or an [`Exec`] for more options. Awaiting it gives what the command wrote, and its exit code. An
    /// exit code other than 0 is an error, unless it is [expected](ServiceExec::expect).
    ///
    /// The service is in use meanwhile, as by any client: if it does not run it is started, and the command begins when it is
    /// ready. What the command leaves running in the service is not waited for. Secrets of the service, and of the command,
    /// are replaced by `***` in what is returned. With Docker, the command has one more variable, `BOWLINE_COMMAND`: by it
    /// the command is found if it has to be killed.
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::{Exec, Expect, Service};
    /// let db = Service::from_image("postgres:15").env("POSTGRES_HOST_AUTH_METHOD", "trust").expose(5432);
    /// db.exec(["createdb", "-U", "postgres", "shop"]).await?;
    /// db.exec(["psql", "-U", "postgres", "shop"]).stdin("create table orders (id int);").timeout("10s").await?;
    /// let counted = db.exec(["psql", "-U", "postgres", "-tAc", "select count(*) from orders", "shop"]).await?;
    /// assert_eq!(counted.stdout_text(), "0\n");
    /// let found = db.exec(Exec::shell("grep -q trust $PGDATA/pg_hba.conf")).expect(Expect::Any).await?;
    /// assert!(found.success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When awaited: [`Error::Invalid`] for a mistake in the command, and for output of more than 1 GiB;
    /// [`Error::StepFailed`] for an exit code that is not expected, and after a timeout; [`Error::ServiceExited`] if the
    /// service ends meanwhile; otherwise whatever prevents the service's start.
    #[track_caller]
    pub fn exec(&self, command: impl IntoExec) -> ServiceExec {
        let (exec, at) = (command.into_exec(), Location::caller());
        let mut made = ServiceExec {
            service: self.clone(),
            exec,
            env: Vec::new(),
            user: None,
            workdir: None,
            at,
            problem: None,
        };
        made.check(arguments::command("exec", &made.exec.args));
        made
    }

    /// The address of the running service in the network that its clients are in: what they find behind its name. Nothing
    /// outside that network is promised to reach it, and the next run of the service may have another. If the service does
    /// not run it is started, and lingers as after any client.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn address(&self) -> impl Future<Output = Result<IpAddr>> + Send + use<> {
        session::address(self.clone())
    }
}

/// A command in a running service: see [`Service::exec`].
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is awaited"]
pub struct ServiceExec {
    service: Service,
    exec: Exec,
    env: Vec<(String, EnvValue)>,
    user: Option<String>,
    workdir: Option<String>,
    at: Location,
    /// The first mistake.
    problem: Option<String>,
}

impl ServiceExec {
    /// Sends these bytes to the command's standard input and then closes it. By default standard input is empty.
    pub fn stdin(mut self, contents: impl AsRef<[u8]>) -> Self {
        self.exec = self.exec.stdin(contents);
        self
    }

    /// Which exit codes are a result: [`Expect::Success`] by default.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.exec = self.exec.expect(expect);
        self
    }

    /// Kills the command, with what it started, when it runs for longer than this: [`Error::StepFailed`], whatever exit code
    /// is expected. What has left its session (`setsid`) may go on. There is no timeout by default.
    #[track_caller]
    pub fn timeout(mut self, limit: impl IntoDuration) -> Self {
        self.exec = self.exec.timeout(limit);
        self
    }

    /// Sets an environment variable of the command, in addition to the service's own. A [`Secret`](crate::Secret) is
    /// delivered to the command and never shown.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<EnvValue>) -> Self {
        let (key, value) = (key.into(), value.into());
        self.check(rules::variable(&key));
        if let EnvValueKind::Plain(text) = &value.0 {
            self.check(arguments::variable_value(&key, text));
        }
        self.env.push((key, value));
        self
    }

    /// Sets the command's user: `name`, `uid`, `name:group` or `uid:gid`. By default it is the service's.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        let user = user.into();
        self.check(arguments::user(&user));
        self.user = Some(user);
        self
    }

    /// Sets the command's working directory, an absolute path. By default it is the service's.
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.check(paths::absolute_path("workdir", &path));
        self.workdir = Some(path);
        self
    }

    fn check(&mut self, checked: Result<(), Problem>) {
        if let (None, Err(problem)) = (&self.problem, checked) {
            self.problem = Some(problem.to_string());
        }
    }

    /// The same, written elsewhere.
    pub(super) fn written_at(self, at: Location) -> Self {
        Self { at, ..self }
    }

    /// The command, if there is no mistake in it.
    pub(super) fn checked(self) -> Result<(Service, InService)> {
        let Self { service, exec, env, user, workdir, at, mut problem } = self;
        let Exec { args, options, invalid } = exec;
        let ExecOptions { stdin, expect, timeout: limit, stdout, stderr, fresh: _, uncached: _ } = options;
        let mut place = at;
        if let (None, Some(Located { value, at })) = (&problem, invalid.into_iter().next()) {
            (problem, place) = (Some(value.0), at);
        }
        if problem.is_none() && (stdout.is_some() || stderr.is_some()) {
            let message = "`stdout_to` and `stderr_to` are for steps of containers\n\nhelp: what a command in a service \
                           writes is returned; `> /path` in an `Exec::shell` writes it to a file there";
            problem = Some(message.to_owned());
        }
        match problem {
            Some(message) => Err(Error::invalid(service.name(), message).at([place])),
            None => Ok((service, InService { args, env, user, workdir, stdin, limit, expect, at })),
        }
    }
}

impl IntoFuture for ServiceExec {
    type Output = Result<Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (service, command) = self.checked()?;
            session::execute(service, command).await
        })
    }
}
