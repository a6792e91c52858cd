//! The end of a service's process, for as many as wait for it.

use tokio::sync::watch;

use crate::model::Exit;
use crate::{Error, Result};

/// Hears of the end; however late it is asked.
#[derive(Debug, Clone)]
pub(super) struct Ending(watch::Receiver<Option<Result<Exit>>>);

/// Tells it, once.
pub(super) struct TellEnding(watch::Sender<Option<Result<Exit>>>);

/// Both halves.
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
    /// Waits for it. That of a service whose container was removed before it had ended is never told.
    pub(super) async fn wait(&self, service: &str) -> Result<Exit> {
        let mut hear = self.0.clone();
        let end = hear.wait_for(Option::is_some).await.map(|end| (*end).clone());
        end.ok().flatten().unwrap_or_else(|| {
            Err(Error::Cancelled { what: format!("service {service}"), reason: "it was removed".to_owned() })
        })
    }
}
