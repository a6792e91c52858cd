//! Outputs of containers.

use std::path::Path;

use crate::engine::OutputReader;
use crate::model::Stream;
use crate::value::{Container, Output};
use crate::{Result, session};

impl Container {
    /// Runs all steps that are not cached and waits for them to succeed.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        session::sync(self.clone())
    }

    /// Runs the container and gives what its last step wrote to standard output, with anything that is not UTF-8
    /// replaced. [`output`](Self::output) has the bytes.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stdout(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        session::text(self.clone(), Stream::Stdout)
    }

    /// Runs the container and gives what its last step wrote to standard error, with anything that is not UTF-8
    /// replaced.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stderr(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        session::text(self.clone(), Stream::Stderr)
    }

    /// Runs the container and gives the exit code of its last step, whatever exit code was expected: for a command that
    /// exits with 3 this gives 3, while asking for its output or for later steps gives
    /// [`Error::StepFailed`](crate::Error::StepFailed). The result is cached only if it is a success, or what
    /// [`Exec::expect`](crate::Exec::expect) counts as one.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a container without a step;
    /// [`Error::StepFailed`](crate::Error::StepFailed) if an earlier step failed, or if the command was killed at its
    /// timeout; otherwise whatever went wrong on the way.
    pub fn exit_code(&self) -> impl Future<Output = Result<i32>> + Send + use<> {
        session::exit_code(self.clone())
    }

    /// Runs the container and gives both streams and the exit code of its last step, in memory: up to 1 GiB a stream. Use
    /// [`stdout_reader`](Self::stdout_reader) or [`save_stdout_to`](Self::save_stdout_to) for more. A command may write
    /// up to 4 GiB to each stream. Until the engine has stored it, everything beyond the first MiB of a stream is in a
    /// file in `$TMPDIR`, or `/var/tmp`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a container without a step, and for more than 1 GiB of output;
    /// [`Error::StepFailed`](crate::Error::StepFailed) if the command ended with another exit code than expected;
    /// otherwise whatever went wrong on the way.
    pub fn output(&self) -> impl Future<Output = Result<Output>> + Send + use<> {
        session::output(self.clone())
    }

    /// Runs the container and gives a reader of what its last step wrote to standard output, which need not fit in
    /// memory.
    ///
    /// ```no_run
    /// # async fn example(dump: bowline::Container) -> bowline::Result<()> {
    /// use std::io::{BufRead, BufReader};
    /// for line in BufReader::new(dump.stdout_reader().await?).lines() {
    ///     println!("{}", line.unwrap_or_default());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`output`](Self::output), without its 1 GiB limit.
    pub fn stdout_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stdout)
    }

    /// As [`stdout_reader`](Self::stdout_reader), for standard error.
    pub fn stderr_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stderr)
    }

    /// Runs the container and writes the standard output of its last step into a file on the pipeline's machine, without
    /// holding it in memory. Missing parent directories are created; an interruption leaves the old file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the file cannot be written; otherwise as [`output`](Self::output), without
    /// its 1 GiB limit.
    pub fn save_stdout_to<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_stream(self.clone(), Stream::Stdout, path.as_ref().to_owned())
    }

    /// As [`save_stdout_to`](Self::save_stdout_to), for standard error.
    pub fn save_stderr_to<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_stream(self.clone(), Stream::Stderr, path.as_ref().to_owned())
    }

    /// Runs the container as [`sync`](Self::sync) does, and pushes its result to a registry as an image:
    /// `registry.example/team/app:1.2`, with the tag `latest` if none is given. Returns the image's reference by digest,
    /// `registry.example/team/app@sha256:…`.
    ///
    /// The image has the configuration of the image that the container starts from (variables, working directory, user,
    /// command, ports, labels …), overridden by the container's own; an `entrypoint` of the container removes the image's
    /// command, as Docker does. Secrets are not in the image, and neither are caches and other mounts. If the container's
    /// result is cached, the native engine pushes the same bytes each time.
    ///
    /// Credentials are those of `docker login`, as for pulls; layers that the registry already has are not sent again.
    /// The native engine needs the feature `registry`. While the Docker engine pushes, the reference names the image in
    /// that engine; afterwards it names there what it named before.
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::Container;
    /// let app = Container::from_image("python:3.11")
    ///     .exec(["pip", "install", "--target", "/app", "httpbin"])
    ///     .env("PYTHONPATH", "/app")
    ///     .entrypoint(["python3", "-m", "httpbin.core"]);
    /// println!("{}", app.publish("registry.example/team/app:1.2").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a reference to files or with a digest;
    /// [`Error::Unauthorized`](crate::Error::Unauthorized) when the registry refuses; otherwise whatever went wrong on
    /// the way.
    pub fn publish<R: Into<String>>(
        &self,
        reference: R,
    ) -> impl Future<Output = Result<String>> + Send + use<R> {
        session::publish(self.clone(), reference.into())
    }

    /// Runs the container as [`sync`](Self::sync) does, and writes its result into a file on the pipeline's machine, as
    /// the image that [`publish`](Self::publish) would push: one archive, which `docker load` and the pipeline statement
    /// `image "docker-archive:./app.tar"` read. The image in it has no name. Missing parent directories are created; an
    /// interrupted export leaves the old file.
    ///
    /// ```no_run
    /// # async fn example(app: bowline::Container) -> bowline::Result<()> {
    /// app.export_image("build/app.tar").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the file cannot be written; otherwise whatever went wrong on the way.
    pub fn export_image<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::export_image(self.clone(), path.as_ref().to_owned())
    }
}
