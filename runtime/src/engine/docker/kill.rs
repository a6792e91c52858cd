//! The end of commands in a service, which the engine's API cannot bring about: a container joins the service's process
//! namespace and kills whatever has the command's mark in its environment (`helper/README.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};

use super::cleaner::Container;
use super::failure::{BRIEF, LONG, during, within};
use super::{Shared, attach, helper, labels};
use crate::{Error, Result};

/// The value of the helper's kind label.
const KIND_KILL: &str = "kill";
/// The variable that has the mark.
const VARIABLE: &str = "BOWLINE_COMMAND";
const WHAT: &str = "kill a command in a service";

/// What tells a command, and all that it starts, from everything else in a container.
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new(shared: &Shared) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self(format!("{}-{}", shared.session, NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn variable(&self) -> (String, String) {
        (VARIABLE.to_owned(), self.0.clone())
    }

    /// Kills what has the mark in this container, when it is dropped.
    pub(super) fn kills(self, shared: &Arc<Shared>, container: &str) -> Killer {
        Killer { shared: Arc::clone(shared), container: container.to_owned(), mark: self, is_armed: true }
    }
}

/// Kills a command unless it ends by itself.
pub(super) struct Killer {
    shared: Arc<Shared>,
    container: String,
    mark: Mark,
    is_armed: bool,
}

impl Killer {
    /// The command has ended: what it left running is none of ours.
    pub(super) fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// Kills the command, and all that it started.
    pub(super) async fn kill(&self) -> Result<()> {
        kill(&self.shared, &self.container, &self.mark).await
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        let (shared, container) = (Arc::clone(&self.shared), std::mem::take(&mut self.container));
        let mark = Mark(std::mem::take(&mut self.mark.0));
        // If this fails, the command goes on for as long as the service.
        drop(self.shared.cleaner.spawn(async move { kill(&shared, &container, &mark).await }));
    }
}

async fn kill(shared: &Arc<Shared>, service: &str, mark: &Mark) -> Result<()> {
    let image = helper::ready(&shared.client, &shared.description.platform).await?;
    let name = shared.number('k');
    let mut labels = labels::of(&shared.session, "kill");
    labels.insert(labels::KIND.to_owned(), KIND_KILL.to_owned());
    let (variable, value) = mark.variable();
    let body = ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![helper::KILL.to_owned()]),
        cmd: Some(vec![format!("{variable}={value}")]),
        user: Some("0".to_owned()),
        labels: Some(labels),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            pid_mode: Some(format!("container:{service}")),
            network_mode: Some("none".to_owned()),
            // To read the environment of processes of any user, and to signal them.
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(vec!["SYS_PTRACE".to_owned(), "KILL".to_owned()]),
            // A profile lets no signal through to a service that is privileged and has none.
            security_opt: Some(vec!["no-new-privileges".to_owned(), "apparmor=unconfined".to_owned()]),
            readonly_rootfs: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let container = Container::new(&shared.cleaner, name);
    let owned = Arc::clone(shared);
    let create = async move {
        owned.check_open(WHAT)?;
        container.create(body).await.map_err(during(WHAT))
    };
    let container = shared.cleaner.to_its_end(WHAT, create).await?;
    within(LONG, shared.client.start_container(container.name(), None)).await.map_err(during(WHAT))?;
    let late = |_| Err(Error::engine(WHAT, "the engine does not answer"));
    match tokio::time::timeout(BRIEF, attach::wait(shared, container.name())).await.unwrap_or_else(late)? {
        0 => Ok(()),
        code => Err(Error::engine(WHAT, format!("something of it cannot be killed (exit code {code})"))),
    }
}
