//! Services: started, followed to their end, probed, signalled, removed.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bollard::query_parameters::KillContainerOptionsBuilder;
use tokio::net::TcpStream;

use super::attach::{self, End};
use super::cleaner::Container;
use super::ends::Died;
use super::failure::{self, BRIEF, within};
use super::held::HeldRun;
use super::inside::{Inside, Settings};
use super::probe::{Prober, Target};
use super::recipe::{Created, First, NetworkScope, Recipe, Stdin};
use super::records::Facts;
use super::{Shared, create, keep, labels, names, relay};
use crate::engine::command::cannot_run;
use crate::engine::ending::{Ending, ending};
use crate::engine::probe::{self as direct, NO_ANSWER};
use crate::engine::sockets::Listening;
use crate::engine::{
    Call, Command, Connection, Dialing, Ended, Flow, Instance, ProbeProgress, Process, Recording,
    ServiceSpec, Sink, Startable, Terminal,
};
use crate::lock::lock;
use crate::model::{Digest, Exit, MadeOf, Port, Protocol, Snapshot, WindowSize};
use crate::{Error, Result};

/// A service's container.
struct Running {
    shared: Arc<Shared>,
    name: String,
    /// Those of commands run in the service.
    settings: Settings,
    /// Taken by `remove`; otherwise dropped with this, which removes the container too.
    container: Mutex<Option<Container>>,
    /// Reports the end of its process.
    end: Ending,
    /// The task that follows its output; aborted on drop.
    task: tokio::task::AbortHandle,
    /// The container's name, which stays known when the container is gone.
    container_name: String,
    /// Where it is reached; `None` if it had ended before that could be asked.
    target: Option<Target>,
    /// What an image made of it has to know.
    variables: Vec<String>,
    has_secrets: bool,
}

/// A service's container before it is started, and the stream of its output.
struct Ready {
    shared: Arc<Shared>,
    name: String,
    process: Process,
    container: Container,
    variables: Vec<String>,
    output: attach::Output,
    died: Died,
}

/// Makes a service's container.
pub(super) async fn prepare(shared: &Arc<Shared>, service: ServiceSpec) -> Result<Box<dyn Startable>> {
    let ServiceSpec { name, instance, filesystem, process, links } = service;
    let recipe = Recipe {
        container: names::service(&shared.session, &instance),
        name: &name,
        kind: labels::KIND_SERVICE,
        run: None,
        hostname: &instance.hostname,
        filesystem: &filesystem,
        process: Some(&process),
        links: &links,
        scope: NetworkScope::Services,
        stdin: Stdin::Empty,
        first: First::Init,
    };
    let Created { container, variables, .. } = Box::pin(create::create(shared, recipe)).await?;
    let (output, _) = attach::attach(shared, container.name(), false).await?;
    let died = shared.ends.of(&container);
    let network = shared.network.begin(shared).await?;
    if !Target::is_network_near(&network.id) {
        relay::Dialer::begin(shared);
    }
    Ok(Box::new(Ready { shared: Arc::clone(shared), name, process, container, variables, output, died }))
}

impl Startable for Ready {
    fn start(self: Box<Self>, log: Sink) -> Call<'static, Arc<dyn Instance>> {
        Box::pin(start(*self, log))
    }
}

/// Starts a service, and returns whether or not it is ready.
async fn start(service: Ready, log: Sink) -> Result<Arc<dyn Instance>> {
    let Ready { shared, name, process, container, variables, output, died } = service;
    let shared = &shared;
    let what = format!("start service {name}");
    let command = process.args.first().cloned().unwrap_or_default();
    let container = attach::start(shared, container, &what, &command).await?;
    let container_name = container.name().to_owned();

    let (tell, end) = ending();
    let hearing = hear(Arc::clone(shared), container.name().to_owned(), output, died, log, what, command);
    let task = tokio::spawn(async move {
        tell.tell(hearing.await);
    });
    let target = target(shared, &container_name).await?;
    if target.is_none() {
        // It has ended, perhaps because there was nothing to run: then the error is reported here.
        end.wait(&name).await?;
    }
    let has_secrets = !process.secret_env.is_empty();
    let running = Running {
        shared: Arc::clone(shared),
        name,
        settings: Settings::of(process),
        container: Mutex::new(Some(container)),
        end,
        task: task.abort_handle(),
        container_name,
        target,
        variables,
        has_secrets,
    };
    Ok(Arc::new(running))
}

/// The address of a container that has just been started; `None` if it has ended.
async fn target(shared: &Arc<Shared>, container: &str) -> Result<Option<Target>> {
    let network = shared.network.begin(shared).await?;
    let inspected = within(BRIEF, shared.client.inspect_container(container, None))
        .await
        .map_err(failure::during("find a service's address"))?;
    let state = inspected.state.unwrap_or_default();
    let network = inspected
        .network_settings
        .and_then(|settings| settings.networks)
        .and_then(|mut networks| networks.remove(&*network.name));
    let Some(network) = network.filter(|_| state.running == Some(true)) else { return Ok(None) };
    // IPv6 if the engine's networks have nothing else.
    let addresses = [network.ip_address, network.global_ipv6_address];
    let ip = addresses.into_iter().flatten().find_map(|address| address.parse().ok());
    let container = inspected.id.unwrap_or_else(|| container.to_owned());
    let pid = state.pid.filter(|&pid| pid > 0);
    Ok(ip.map(|ip| Target {
        is_seen: Target::sees(pid, &container),
        container,
        ip,
        pid,
        network_id: network.network_id.unwrap_or_default(),
    }))
}

async fn hear(
    shared: Arc<Shared>,
    container: String,
    output: attach::Output,
    died: Died,
    log: Sink,
    what: String,
    command: String,
) -> Result<Exit> {
    match attach::hear_out(&shared, &container, output, died, &log).await? {
        End::Exit(exit) => Ok(exit),
        End::CannotRun(reason) => Err(cannot_run(&what, &command, &reason)),
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("name", &self.name)
            .field("container", &self.container_name)
            .finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Instance for Running {
    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(self.end.wait(&self.name))
    }

    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            let target = self.target().await?;
            // What UDP sockets there are is seen from within the service's network alone.
            if !target.is_near() && ports.iter().all(|port| port.protocol() == Protocol::Tcp) {
                for port in ports {
                    progress.note(&port.to_string(), Some(NO_ANSWER));
                }
                if direct::wait_ports(&self.far(target), ports, progress).await.is_ok() {
                    return Ok(());
                }
            }
            self.prober().wait_ports(target, ports, progress).await
        })
    }

    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            let target = self.target().await?;
            if !target.is_near() {
                progress.note(&direct::name_of_page(port, path), Some(NO_ANSWER));
                if direct::wait_http(&self.far(target), port, path, progress).await.is_ok() {
                    return Ok(());
                }
            }
            self.prober().wait_http(target, port, path, progress).await
        })
    }

    fn listening(&self) -> Call<'_, Option<BTreeSet<Listening>>> {
        Box::pin(async move { self.prober().listening(self.target().await?).await.map(Some) })
    }

    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Box::pin(async move {
            let target = self.dialled()?;
            if target.is_near() {
                return Ok(Connection::Socket(TcpStream::connect((target.ip, port)).await?));
            }
            relay::connect(&self.shared, target.ip, port).await
        })
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Box::pin(async move {
            let target = self.dialled()?;
            if !target.is_near() {
                return relay::flow(&self.shared, target.ip, port).await;
            }
            Ok(Flow::Socket(Flow::to((target.ip, port).into()).await?))
        })
    }

    fn address(&self) -> Call<'_, IpAddr> {
        Box::pin(async move { Ok(self.target().await?.ip) })
    }

    fn execute(&self, command: Command, sink: Sink) -> Call<'_, Ended> {
        Box::pin(async move { Box::pin(self.inside().execute(command, sink)).await })
    }

    fn open(&self, command: Command, size: WindowSize) -> Call<'_, Terminal> {
        Box::pin(async move { Box::pin(self.inside().open(command, size)).await })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let options = KillContainerOptionsBuilder::default().signal(signal).build();
            match within(BRIEF, self.shared.client.kill_container(&self.container_name, Some(options))).await
            {
                Ok(()) => Ok(()),
                // It is gone, or not running.
                Err(error) if failure::is_absent(&error) || failure::is_conflict(&error) => Ok(()),
                Err(error) => Err(failure::during(format!("send {signal} to service {}", self.name))(error)),
            }
        })
    }

    fn is_alive(&self) -> Call<'_, bool> {
        Box::pin(async move {
            // The engine learns of an end some time after the kernel.
            if self.target.as_ref().is_some_and(Target::has_died) {
                return Ok(false);
            }
            match within(BRIEF, self.shared.client.inspect_container(&self.container_name, None)).await {
                Ok(found) => Ok(found.state.and_then(|state| state.running) == Some(true)),
                Err(error) if failure::is_absent(&error) => Ok(false),
                Err(error) => Err(failure::during(format!("ask for service {}", self.name))(error)),
            }
        })
    }

    fn keep(&self, key: Digest, made_of: Vec<MadeOf>) -> Call<'_, Snapshot> {
        Box::pin(async move {
            let container = lock(&self.container).take();
            let container = container.ok_or_else(|| {
                Error::engine(format!("keep what service {} left", self.name), "it is gone")
            })?;
            let created = Created { container, variables: self.variables.clone() };
            let left = Arc::new(HeldRun::new(created, self.name.clone(), self.has_secrets));
            keep::keep(&self.shared, &left, &Facts::of_service(key, made_of), &Recording::default()).await
        })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(async move {
            let container = lock(&self.container).take();
            match container {
                Some(container) => container.remove().await,
                // Another call removes it: returns once it is gone.
                None => self.shared.cleaner.remove_container(&self.container_name).await,
            }
        })
    }
}

impl Running {
    fn inside(&self) -> Inside<'_> {
        let Self { shared, name, container_name: container, settings, .. } = self;
        Inside { shared, name, container, settings }
    }

    fn far(&self, target: &Target) -> relay::Far<'_> {
        relay::Far { shared: &self.shared, ip: target.ip }
    }

    fn prober(&self) -> Prober<'_> {
        Prober {
            client: &self.shared.client,
            cleaner: &self.shared.cleaner,
            session: &self.shared.session,
            platform: &self.shared.description.platform,
        }
    }

    async fn target(&self) -> Result<&Target> {
        if self.target.is_none() {
            self.wait().await?;
        }
        let gone = || Error::engine(format!("probe service {}", self.name), "it has ended");
        self.target.as_ref().ok_or_else(gone)
    }

    /// Where its ports are; one that has ended refuses connections.
    fn dialled(&self) -> io::Result<&Target> {
        self.target.as_ref().ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}
