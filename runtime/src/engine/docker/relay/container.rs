//! The container of a relay, and the stream to the program in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::WaitContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::link::Link;
use super::stream::{End, Ports, Refused, SAYS_WHY_WITHIN, carry};
use crate::engine::docker::cleaner::Container;
use crate::engine::docker::failure::{self, BRIEF};
use crate::engine::docker::{Shared, attach, helper, labels};
use crate::lock::lock;
use crate::{Error, Result};

/// The value of a relay's kind label.
const KIND_RELAY: &str = "relay";

/// How much of what the program writes to its standard error is told.
const WORDS_AT_MOST: usize = 1000;

/// Which relay is made.
pub(super) struct Plan<'a> {
    /// What is being done, for errors.
    pub(super) what: &'a str,
    /// The engine's name for the container.
    pub(super) container: String,
    /// The container's name for people.
    pub(super) name: &'a str,
    /// The host name that it sees.
    pub(super) hostname: Option<&'a str>,
    pub(super) args: Vec<String>,
    /// Whether it listens at ports that are root's elsewhere.
    pub(super) has_low_ports: bool,
}

/// A relay that runs. Dropping it ends everything that it carries, and removes its container.
pub(super) struct Relay {
    pub(super) link: Arc<Link>,
    /// Taken by `remove`.
    container: Mutex<Option<Container>>,
    /// The engine's name for the container.
    name: String,
    /// The task that carries.
    task: tokio::task::AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.link.over("it was removed");
    }
}

impl Relay {
    /// Starts a relay, and returns once it is ready; the inner error is that of the program.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        plan: Plan<'_>,
        link: Arc<Link>,
        ports: Ports,
    ) -> Result<Result<Self, Refused>> {
        let what = plan.what.to_owned();
        let (image, network, ()) = tokio::try_join!(
            helper::ready(&shared.client, &shared.description.platform),
            shared.network.begin(shared),
            async {
                shared.guarded().await;
                Ok(())
            },
        )?;
        let container = Container::new(&shared.cleaner, plan.container.clone());
        let (owned, for_task, body) =
            (Arc::clone(shared), what.clone(), body(shared, &plan, &network.name, image));
        let create = async move {
            owned.check_open(&for_task)?;
            container.create(body).await.map_err(failure::during(for_task))
        };
        let container = shared.cleaner.to_its_end(&what, create).await?;
        let (output, input) = attach::attach(shared, container.name(), true).await?;
        let container = attach::start(shared, container, &what, helper::RELAY).await?;

        let (tell, ready) = oneshot::channel();
        let (carried, client, name) = (link.clone(), shared.client.clone(), container.name().to_owned());
        let task = tokio::spawn(async move {
            let words = Mutex::default();
            let reason = {
                let mut ended = std::pin::pin!(ended(&client, &name));
                let mut carrying =
                    std::pin::pin!(carry(&carried, pieces(output, &words), input, ports, tell));
                tokio::select! {
                    end = &mut carrying => match end {
                        End::Broken(reason) => reason,
                        End::Closed(reason) => {
                            timeout(SAYS_WHY_WITHIN, ended).await.unwrap_or(reason)
                        }
                    },
                    // Streams have been seen that do not end with their container.
                    reason = &mut ended => {
                        let _ = timeout(SAYS_WHY_WITHIN, carrying).await;
                        reason
                    }
                }
            };
            let words = words.into_inner().unwrap_or_else(PoisonError::into_inner);
            let words = String::from_utf8_lossy(&words);
            carried.over(&match words.trim() {
                "" => reason,
                words => format!("{reason}: {words}"),
            });
        });
        let name = container.name().to_owned();
        let relay = Self { link, container: Mutex::new(Some(container)), name, task: task.abort_handle() };
        match timeout(BRIEF, ready).await {
            Ok(Ok(Ok(()))) => Ok(Ok(relay)),
            Ok(Ok(Err(refused))) => Ok(Err(refused)),
            Ok(Err(_)) => Err(Error::engine(what, &*relay.link.wait().await)),
            Err(_) => Err(Error::engine(what, "the relay does not say that it is ready")),
        }
    }

    /// Removes the relay and its container. It is no error if it is already gone.
    pub(super) async fn remove(&self, shared: &Shared) -> Result<()> {
        let container = lock(&self.container).take();
        match container {
            Some(container) => container.remove().await,
            // Another call removes it: returns once it is gone.
            None => shared.cleaner.remove_container(&self.name).await,
        }
    }
}

fn body(shared: &Shared, plan: &Plan<'_>, network: &str, image: String) -> ContainerCreateBody {
    let mut labels_of = labels::of(&shared.session, plan.name);
    labels_of.insert(labels::KIND.to_owned(), KIND_RELAY.to_owned());
    // Ports below 1024 are root's, by default, in networks of engines that are rootless.
    let low_ports = || HashMap::from([("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())]);
    ContainerCreateBody {
        image: Some(image),
        hostname: plan.hostname.map(str::to_owned),
        entrypoint: Some(vec![helper::RELAY.to_owned()]),
        cmd: Some(plan.args.clone()),
        user: Some("65534:65534".to_owned()),
        labels: Some(labels_of),
        attach_stdin: Some(true),
        open_stdin: Some(true),
        // It ends with the stream, and so with this process.
        stdin_once: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            sysctls: plan.has_low_ports.then(low_ports),
            // What it carries is nothing for a log.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What the program writes to its standard output. Its standard error goes to `words`.
fn pieces(output: attach::Output, words: &Mutex<Vec<u8>>) -> impl Stream<Item = Result<Bytes, String>> {
    output.filter_map(move |piece| {
        let piece = match piece {
            Ok(LogOutput::StdOut { message }) => Some(Ok(message)),
            Ok(LogOutput::StdErr { message }) => {
                let mut words = lock(words);
                let room = WORDS_AT_MOST.saturating_sub(words.len());
                words.extend_from_slice(message.get(..room).unwrap_or(&message));
                None
            }
            Ok(LogOutput::StdIn { .. }) => None,
            Ok(LogOutput::Console { .. }) => Some(Err("the engine's stream broke off".to_owned())),
            Err(error) => Some(Err(failure::message(&error))),
        };
        std::future::ready(piece)
    })
}

/// Waits until a container has ended, and says how.
async fn ended(client: &bollard::Docker, container: &str) -> String {
    const REMOVED: &str = "its container was killed or removed";
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let code = match client.wait_container(container, Some(options)).next().await {
        Some(Ok(answer)) => answer.status_code,
        // bollard makes an error of every code but 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) if failure::is_absent(&error) => return REMOVED.to_owned(),
        Some(Err(error)) => return failure::message(&error),
        None => return failure::gone("it closed the connection"),
    };
    match code {
        // As of SIGKILL.
        137 => REMOVED.to_owned(),
        code => format!("its container has ended with exit code {code}"),
    }
}
