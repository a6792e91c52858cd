//! The end of a service's process, for any number of waiters.

use tokio::sync::watch;

use crate::model::Exit;
use crate::{Error, Result};

/// Reports the end to any number of waiters, however late they ask.
#[derive(Debug, Clone)]
pub(super) struct Ending(watch::Receiver<Option<Result<Exit>>>);

/// Sets the end, once.
pub(super) struct TellEnding(watch::Sender<Option<Result<Exit>>>);

/// Both halves of the channel.
pub(super) fn ending() -> (TellEnding, Ending) {
    let (tell, hear) = watch::channel(None);
    (TellEnding(tell), Ending(hear))
}

impl TellEnding {
    pub(super) fn tell(self, end: Result<Exit>) {
        self.0.send_replace(Some(end));
    }
}

impl Ending {
    /// Waits for the end. It never returns for a service whose container was removed before it had ended.
    pub(super) async fn wait(&self, service: &str) -> Result<Exit> {
        let mut hear = self.0.clone();
        let end = hear.wait_for(Option::is_some).await.map(|end| (*end).clone());
        end.ok().flatten().unwrap_or_else(|| {
            Err(Error::Cancelled { what: format!("service {service}"), reason: "it was removed".to_owned() })
        })
    }
}
