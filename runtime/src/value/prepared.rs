//! Services whose file systems are prepared by the program.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Service;
use crate::Result;

/// The program's own part of a preparation. It is given an open tunnel to the service, a type of the session's.
pub(crate) type Prepare =
    Arc<dyn Fn(Box<dyn Any + Send>) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// What is done to a service before its file system is kept, to start others from it.
#[derive(Clone)]
pub(crate) struct Preparation {
    /// The service that is prepared.
    pub(crate) service: Service,
    /// The user's key, which stands for what `prepare` does.
    pub(crate) key: String,
    pub(crate) prepare: Prepare,
}

impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preparation")
            .field("service", &self.service)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
