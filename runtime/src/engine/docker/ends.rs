//! The ends of a session's containers, as the engine's events tell them.
//!
//! The engine tells that a process has died before it takes the container's network apart, and answers who waits for the
//! container only afterwards, 50 to 75 ms later. So both are listened to: one stream for all containers of the session, and
//! for each of them the answer, and what comes first counts. Whatever becomes of the stream, the answer comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::cleaner::Container;
use super::labels;
use crate::lock::lock;
use crate::model::SessionId;

/// Who waits for the end of a container, by its id: names are used again.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<i32>>>>;

/// The stream of a session's ends.
#[derive(Default)]
pub(super) struct Ends {
    waiting: Waiting,
    /// The task that listens, aborted on drop.
    listening: OnceLock<tokio::task::AbortHandle>,
}

impl Ends {
    /// Begins to listen, unless that was begun. Only what ends afterwards is told.
    pub(super) fn begin(&self, client: &bollard::Docker, session: &SessionId) {
        self.listening.get_or_init(|| {
            let (client, session, waiting) = (client.clone(), session.clone(), Arc::clone(&self.waiting));
            tokio::spawn(async move { listen(&client, &session, &waiting).await }).abort_handle()
        });
    }

    /// The end of a container that has not been started.
    pub(super) fn of(&self, container: &Container) -> Died {
        let Some(id) = container.id() else { return Died::default() };
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(id.to_owned(), tell);
        Died { told: Some(told), of: Some((Arc::clone(&self.waiting), id.to_owned())) }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(task) = self.listening.get() {
            task.abort();
        }
    }
}

/// The end of a container, if it is told.
#[derive(Default)]
pub(super) struct Died {
    told: Option<oneshot::Receiver<i32>>,
    of: Option<(Waiting, String)>,
}

impl Died {
    /// The exit code. Waits for ever if nobody tells it.
    pub(super) async fn code(&mut self) -> i32 {
        if let Some(told) = &mut self.told
            && let Ok(code) = told.await
        {
            return code;
        }
        std::future::pending().await
    }
}

impl Drop for Died {
    fn drop(&mut self) {
        if let Some((waiting, id)) = &self.of {
            lock(waiting).remove(id);
        }
    }
}

async fn listen(client: &bollard::Docker, session: &SessionId, waiting: &Waiting) {
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("event", vec!["die".to_owned()]),
        ("label", vec![format!("{}={session}", labels::SESSION)]),
    ]);
    let options = EventsOptionsBuilder::default().filters(&filters).build();
    let mut events = std::pin::pin!(client.events(Some(options)));
    // What is no event ends it: who can tell what else is wrong?
    while let Some(Ok(event)) = events.next().await {
        let Some((id, code)) = end(event) else { continue };
        let waiter = lock(waiting).remove(&id);
        if let Some(waiter) = waiter {
            // Whoever has given up need not know.
            let _ = waiter.send(code);
        }
    }
}

/// The container that an event says has ended, and its exit code.
fn end(event: EventMessage) -> Option<(String, i32)> {
    if event.action.as_deref() != Some("die") {
        return None;
    }
    let actor = event.actor?;
    let code = actor.attributes?.get("exitCode")?.parse().ok()?;
    Some((actor.id?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_with_its_code_is_one() {
        let end_of = |text: &str| end(serde_json::from_str(text).unwrap());
        let said = |action: &str, code: &str| {
            format!(
                r#"{{"Type": "container", "Action": "{action}", "Actor": {{"ID": "a", "Attributes": {{{code}}}}}}}"#
            )
        };
        assert_eq!(end_of(&said("die", r#""exitCode": "137""#)), Some(("a".to_owned(), 137)));
        assert_eq!(end_of(&said("die", "")), None);
        assert_eq!(end_of(&said("die", r#""exitCode": "x""#)), None);
        assert_eq!(end_of(&said("start", r#""exitCode": "0""#)), None);
        assert_eq!(end_of("{}"), None);
    }
}
