//! What services write.

use std::future::IntoFuture;
use std::pin::Pin;

use crate::Result;
use crate::model::Location;
use crate::session::{self, LogOptions, LogReader};
use crate::value::Service;

impl Service {
    /// What the service writes to standard output and standard error, line by line and without secrets, from the beginning
    /// of its present run. If it does not run, that of its last run in this session: also of one that failed.
    ///
    /// Reading does not start the service, and does not keep it from being stopped. Any number of readers may read, whenever
    /// and as slowly as they like: the service never waits for one. Of each run the last 56 MiB are kept at least, in a file
    /// without a name in `$TMPDIR`, or `/var/tmp`; what is older and was not read is counted
    /// ([`LogLine::skipped`](crate::LogLine::skipped)).
    ///
    /// ```no_run
    /// # async fn example() -> bowline::Result<()> {
    /// use bowline::prelude::*;
    /// let p = pipeline! {
    ///     service db { image "postgres:15"; env POSTGRES_PASSWORD = "word"; expose 5432; }
    /// };
    /// p.db.start().await?;
    /// let mut logs = p.db.logs().await?;
    /// while let Some(line) = logs.next().await? {
    ///     println!("{}", line.text); // until the service ends
    /// }
    /// assert!(p.db.logs().text().await?.contains("ready to accept connections"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When awaited, [`Error::Invalid`](crate::Error::Invalid) if the service has not been started in this session, unless it
    /// is to [wait](Logs::wait_for_start).
    #[track_caller]
    pub fn logs(&self) -> Logs {
        let options = LogOptions { from_now: false, waits_for_start: false };
        Logs { service: self.clone(), options, at: Location::caller() }
    }
}

/// What a service writes: see [`Service::logs`]. Awaiting it gives a [`LogReader`].
#[derive(Debug, Clone)]
#[must_use = "logs are read by awaiting them"]
pub struct Logs {
    service: Service,
    options: LogOptions,
    at: Location,
}

impl Logs {
    /// Only the lines that are written from now on: after the reader has been awaited.
    pub fn from_now(mut self) -> Self {
        self.options.from_now = true;
        self
    }

    /// If the service does not run, waits for its next start, in place of giving its last run or an error.
    pub fn wait_for_start(mut self) -> Self {
        self.options.waits_for_start = true;
        self
    }

    /// All that has been written so far, of both streams in the order in which their lines ended. If the beginning is not kept
    /// any more, a first line says so: `[the first 1048576 bytes are cut]`.
    ///
    /// # Errors
    /// As [`Service::logs`] and [`LogReader::next`].
    pub fn text(self) -> impl Future<Output = Result<String>> + Send + use<> {
        let reader = self.into_future();
        async move { reader.await?.text().await }
    }
}

impl IntoFuture for Logs {
    type Output = Result<LogReader>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(session::logs(self.service, self.options, self.at))
    }
}
