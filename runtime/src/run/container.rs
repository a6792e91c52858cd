//! What is asked of containers.

use std::path::Path;

use crate::engine::OutputReader;
use crate::model::Stream;
use crate::value::{Container, Output};
use crate::{Result, session};

impl Container {
    /// Runs all steps, where they are not cached, and waits for them to succeed.
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

    /// Runs the container and gives the exit code of its last step, whatever was expected of it: a command that ends
    /// with 3 gives 3 here, and [`Error::StepFailed`](crate::Error::StepFailed) to whoever asks for its output or for
    /// what comes after it. Only a success, or what [`Exec::expect`](crate::Exec::expect) calls one, is cached.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a container without a step;
    /// [`Error::StepFailed`](crate::Error::StepFailed) for an earlier step that failed, and for one that was killed
    /// because its time was over; otherwise whatever went wrong on the way.
    pub fn exit_code(&self) -> impl Future<Output = Result<i32>> + Send + use<> {
        session::exit_code(self.clone())
    }

    /// Runs the container and gives both streams and the exit code of its last step, in memory: up to 1 GiB a stream.
    /// [`stdout_reader`](Self::stdout_reader) and [`save_stdout_to`](Self::save_stdout_to) are for larger ones. A
    /// command may write 4 GiB to each stream; what is not in the engine's store yet is in `$TMPDIR`, or `/var/tmp`,
    /// meanwhile, but for the first MiB.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a container without a step, and for more output than that;
    /// [`Error::StepFailed`](crate::Error::StepFailed) where the command ended otherwise than expected; otherwise
    /// whatever went wrong on the way.
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
    /// As [`output`](Self::output), whatever the size.
    pub fn stdout_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stdout)
    }

    /// As [`stdout_reader`](Self::stdout_reader), for standard error.
    pub fn stderr_reader(&self) -> impl Future<Output = Result<OutputReader>> + Send + use<> {
        session::stream(self.clone(), Stream::Stderr)
    }

    /// Runs the container and writes what its last step wrote to standard output into a file on the pipeline's machine,
    /// without holding it in memory. Missing parent directories are made; an interruption leaves the old file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the file cannot be written; otherwise as [`output`](Self::output),
    /// whatever the size.
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

    /// Runs the container as [`sync`](Self::sync) does, and pushes what it is then to a registry, as an image:
    /// `registry.example/team/app:1.2`, with the tag `latest` where none is said. Gives the image's reference by
    /// digest, `registry.example/team/app@sha256:…`.
    ///
    /// The image has the configuration of the one that the container starts from (its variables, working directory,
    /// user, command, ports, labels …), with what the container says instead; an `entrypoint` of its own takes the
    /// command away, as Docker's does. Nothing of secrets is in it, nor of caches and whatever else is mounted. Where
    /// the container's result is cached, what the native engine pushes is byte for byte the same each time.
    ///
    /// Credentials are those of `docker login`, as for pulls; what the registry has already is not sent again. The
    /// native engine needs the feature `registry` for it. While the Docker engine pushes, the reference is a name of
    /// the image in that engine; afterwards it means there what it meant before.
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
    /// [`Error::Invalid`](crate::Error::Invalid) for a reference to files or one that has a digest;
    /// [`Error::Unauthorized`](crate::Error::Unauthorized) when the registry refuses; otherwise whatever went wrong on
    /// the way.
    pub fn publish<R: Into<String>>(
        &self,
        reference: R,
    ) -> impl Future<Output = Result<String>> + Send + use<R> {
        session::publish(self.clone(), reference.into())
    }

    /// Runs the container as [`sync`](Self::sync) does, and writes what it is then into a file on the pipeline's
    /// machine, as the image that [`publish`](Self::publish) pushes: one archive that `docker load` reads, and `image
    /// "docker-archive:./app.tar"` of a pipeline. The image has no name in it. Missing parent directories are made; an
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
