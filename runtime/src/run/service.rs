//! Starting and stopping services by hand.

use crate::value::Service;
use crate::{Result, session};

impl Service {
    /// Starts the service, if it is not running, and waits until it is ready. It then runs until [`stop`](Self::stop),
    /// [`kill`](Self::kill) or the end of the session. Starting a running service does nothing more, unless files that it
    /// is made of have changed at the last [`Session::refresh`](crate::Session::refresh): then a new instance is started, and
    /// the old one ends once its clients have.
    pub fn start(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        session::start(self.clone())
    }

    /// Ends the service with its stop signal and waits until it is gone, SIGKILL included; all instances of it, if it has
    /// several. Does nothing when it is not running.
    pub fn stop(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        session::stop(self.clone())
    }

    /// Ends the service with SIGKILL and waits until it is gone. Does nothing when it is not running; a
    /// [`stop`](Self::stop) that is still waiting returns too.
    pub fn kill(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        session::kill(self.clone())
    }
}
