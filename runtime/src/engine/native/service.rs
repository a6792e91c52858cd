//! Services: started, heard until they end, asked, signalled, removed.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;

use super::address::{Audience, Network};
use super::capabilities::Users;
use super::model::Root;
use super::netns::Netns;
use super::process::{Future, Launched, hear_within, launch};
use super::step::keep_under;
use super::store::{Scratch, layers};
use super::wire::{Container, Detach, Order, Process, Request};
use super::{Shared, failed, spec, terminal};
use crate::engine::ending::{Ending, ending};
use crate::engine::probe::{self, Dialer};
use crate::engine::sockets::{self, Listening};
use crate::engine::{
    Call, Command, Connection, Detached, Dialing, Ended, Flow, Instance, InstanceId, ProbeProgress,
    Recording, ServiceSpec, Sink, Startable, Terminal,
};
use crate::lock::lock;
use crate::model::{Digest, Exit, MadeOf, Port, Protocol, Provenance, RunId, Snapshot, WindowSize};
use crate::{Error, Result};

/// A way that led nowhere, as that to a service that is ending, is not tried without end at once.
const AGAIN_AFTER: Duration = Duration::from_millis(25);

/// A service's container.
struct Running {
    shared: Arc<Shared>,
    name: String,
    instance: InstanceId,
    container: i32,
    process: Process,
    netns: Netns,
    orders: tokio::sync::Mutex<super::client::Orders>,
    /// Asked for by the first who waits for a UDP port.
    udp_tables: tokio::sync::OnceCell<Vec<File>>,
    alive: watch::Receiver<()>,
    end: Ending,
    task: tokio::task::AbortHandle,
    /// What it starts from.
    base: Snapshot,
    /// What it writes, the last one to its own file system.
    scratches: Mutex<Vec<Scratch>>,
    volumes: Vec<PathBuf>,
}

/// A service without its process.
struct Ready {
    shared: Arc<Shared>,
    name: String,
    instance: InstanceId,
    command: String,
    request: Request,
    process: Process,
    netns: Netns,
    base: Snapshot,
    scratches: Vec<Scratch>,
    volumes: Vec<PathBuf>,
}

pub(super) async fn prepare(shared: &Arc<Shared>, service: ServiceSpec) -> Result<Box<dyn Startable>> {
    let ServiceSpec { name, instance, filesystem, process, links } = service;
    let what = format!("start service {name}");
    let command = process.args.first().cloned().unwrap_or_default();
    let scratch = shared.store.scratch().map_err(failed(&what))?;
    super::step::place(shared, &name, &filesystem.base, &scratch, filesystem.placements).await?;
    let mounts = spec::mounts(shared, &what, &filesystem.mounts)?;
    shared.store.wait_for(&mounts.volumes).await.map_err(failed(&what))?;
    let users = Users::of(&process.security);
    let netns = shared.new_netns(&what, Network::Services, Audience::Everybody, users).await?;
    let own_name = process.hostname.clone().unwrap_or_else(|| instance.hostname.to_string());
    // A service knows its own name, whatever it calls its machine.
    let mut own_names = vec![own_name.as_str(), &instance.hostname];
    own_names.dedup();
    let hosts = shared.hosts(&what, &own_names, netns.ip(), &links)?;
    let resolver = shared.resolver(Network::Services).await;
    let process = spec::process(&process, &scratch.changes, None);
    let request = Request::Run(Box::new(Container {
        root: Root { layers: layers(&filesystem.base), changes: Some(scratch.changes.clone()) },
        mounts: mounts.list,
        hostname: own_name,
        hosts,
        resolver,
        process: process.clone(),
    }));
    let mut scratches = mounts.scratches;
    scratches.push(scratch);
    Ok(Box::new(Ready {
        shared: Arc::clone(shared),
        name,
        instance,
        command,
        request,
        process,
        netns,
        base: filesystem.base,
        scratches,
        volumes: mounts.volumes,
    }))
}

impl Startable for Ready {
    fn start(self: Box<Self>, log: Sink) -> Call<'static, Arc<dyn Instance>> {
        Box::pin(start(*self, log))
    }
}

async fn start(service: Ready, log: Sink) -> Result<Arc<dyn Instance>> {
    let Ready { shared, name, instance, command, request, process, netns, base, scratches, volumes } =
        service;
    let what = format!("start service {name}");
    let network = Some(netns.namespace.as_fd());
    let launched = launch(&shared.shim, &request, network, None, Future::MayDetach).await;
    let Launched { container, orders, output, alive } =
        launched.map_err(|error| error.explain(&what, &command))?;
    lock(&shared.running).insert(instance.clone(), netns.address.number);
    let (tell, end) = ending();
    let task = tokio::spawn(async move {
        tell.tell(output.hear(&log).await.map_err(failed(what)));
    });
    Ok(Arc::new(Running {
        shared,
        name,
        instance,
        container,
        process,
        netns,
        orders: tokio::sync::Mutex::new(orders),
        udp_tables: tokio::sync::OnceCell::new(),
        alive,
        end,
        task: task.abort_handle(),
        base,
        scratches: Mutex::new(scratches),
        volumes,
    }))
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.forget(&self.instance, &self.netns);
        // Closes the socket, which ends the container.
        self.task.abort();
    }
}

/// From the network that it is in.
impl Dialer for Running {
    type Stream = TcpStream;

    fn ip(&self) -> IpAddr {
        self.netns.ip().into()
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.shared.shim.tcp_socket().await?.connect(address).await
    }

    fn udp_tables(&self) -> Option<Vec<File>> {
        // Every reader reads from the start.
        self.udp_tables.get()?.iter().map(|table| table.try_clone().ok()).collect()
    }
}

impl Instance for Running {
    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(self.end.wait(&self.name))
    }

    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            if ports.iter().any(|port| port.protocol == Protocol::Udp) {
                let tables = self.udp_tables.get_or_try_init(|| async {
                    let tables = self.shared.shim.socket_tables(self.container).await?;
                    let udp = tables.into_iter().filter(|(protocol, _)| *protocol == Protocol::Udp);
                    Ok(udp.map(|(_, table)| table).collect())
                });
                // One that has ended has none: who waits for it is told so.
                let _: io::Result<&Vec<File>> = tables.await;
            }
            // There is no other dialer, and this one is never barred.
            while probe::wait_ports(self, ports, progress).await.is_err() {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Ok(())
        })
    }

    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(async move {
            while probe::wait_http(self, port, path, progress).await.is_err() {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Ok(())
        })
    }

    fn listening(&self) -> Call<'_, Option<BTreeSet<Listening>>> {
        Box::pin(async move {
            let what = format!("ask what service {} listens on", self.name);
            let tables = self.shared.shim.socket_tables(self.container).await.map_err(failed(&what))?;
            let read = tokio::task::spawn_blocking(move || sockets::read(tables)).await;
            read.unwrap_or_else(|error| Err(error.into())).map(Some).map_err(failed(what))
        })
    }

    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Box::pin(async move {
            let socket = self.shared.shim.tcp_socket().await?;
            Ok(Connection::Socket(socket.connect((self.netns.ip(), port).into()).await?))
        })
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Box::pin(async move {
            let socket = UdpSocket::from_std(self.shared.shim.udp_socket().await?)?;
            socket.connect((self.netns.ip(), port)).await?;
            Ok(Flow::Socket(socket))
        })
    }

    fn address(&self) -> Call<'_, IpAddr> {
        Box::pin(async move { Ok(self.netns.ip().into()) })
    }

    fn execute(&self, command: Command, sink: Sink) -> Call<'_, Ended> {
        Box::pin(async move {
            let what = self.doing(&command);
            let request = self.request(&command, None);
            let launched =
                launch(&self.shared.shim, &request, None, command.stdin.clone(), Future::Ends).await;
            let launched = launched.map_err(|error| error.explain(&what, command.program()))?;
            let mut timed_out = false;
            let exit =
                hear_within(launched, command.limit, &sink, &mut timed_out).await.map_err(failed(what))?;
            Ok(Ended { exit, timed_out })
        })
    }

    fn open(&self, command: Command, size: WindowSize) -> Call<'_, Terminal> {
        Box::pin(async move {
            let what = self.doing(&command);
            let request = self.request(&command, Some(size));
            let opened = terminal::open(&self.shared.shim, &request, None, &what, ()).await;
            opened.map_err(|error| error.explain(&what, command.program()))
        })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let what = format!("send {signal} to service {}", self.name);
            let number = number_of(signal).ok_or_else(|| Error::engine(&what, "there is no such signal"))?;
            self.orders.lock().await.give(Order::Signal(number)).await.map_err(failed(what))
        })
    }

    fn is_alive(&self) -> Call<'_, bool> {
        Box::pin(async move {
            let mut alive = self.alive.clone();
            alive.mark_unchanged();
            let what = format!("ask for service {}", self.name);
            self.orders.lock().await.give(Order::Ask).await.map_err(failed(what))?;
            Ok(tokio::select! {
                answer = alive.changed() => answer.is_ok(),
                _ = self.wait() => false,
            })
        })
    }

    fn keep(&self, key: Digest, made_of: Vec<MadeOf>) -> Call<'_, Snapshot> {
        Box::pin(async move {
            let what = format!("keep what service {} left", self.name);
            let scratch = lock(&self.scratches).pop();
            let scratch = scratch.ok_or_else(|| Error::engine(&what, "it is gone"))?;
            let from = Provenance::now(RunId::random(), made_of);
            let base = self.base.clone();
            let kept = keep_under(&self.shared, base, scratch, key, Recording::default(), from);
            kept.await.map_err(failed(what))
        })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(async move {
            self.shared.forget(&self.instance, &self.netns);
            self.signal("SIGKILL").await?;
            // However it ended, it has.
            let _ = self.wait().await;
            Ok(())
        })
    }

    fn detach<'a>(
        &'a self,
        signal: &'a str,
        within: Duration,
        users: Vec<Detached>,
    ) -> Call<'a, Option<Detached>> {
        Box::pin(async move {
            let what = format!("leave service {}", self.name);
            let signal = number_of(signal).ok_or_else(|| Error::engine(&what, "there is no such signal"))?;
            self.shared.forget(&self.instance, &self.netns);
            // As this engine has named them, below.
            let users = users.iter().filter_map(|Detached(user)| user.parse().ok()).collect();
            let order = Order::Detach(Detach { signal, within, users });
            self.orders.lock().await.give(order).await.map_err(failed(what))?;
            self.shared.keep_for_detached(std::mem::take(&mut lock(&self.scratches)), &self.volumes);
            Ok(Some(Detached(self.container.to_string())))
        })
    }
}

fn number_of(signal: &str) -> Option<i32> {
    crate::rules::SIGNALS.iter().find(|(name, _)| *name == signal).map(|(_, number)| *number)
}

impl Running {
    fn doing(&self, command: &Command) -> String {
        format!("run `{}` in service {}", command.program(), self.name)
    }

    /// A further process in its container.
    fn request(&self, command: &Command, terminal: Option<WindowSize>) -> Request {
        let mut process = Process { args: command.args.clone(), terminal, ..self.process.clone() };
        for (key, value) in &command.env {
            process.env.retain(|(other, _)| other != key);
            process.env.push((key.clone(), value.clone()));
        }
        if let Some(user) = &command.user {
            process.user.clone_from(user);
        }
        if let Some(workdir) = &command.workdir {
            process.workdir.clone_from(workdir);
        }
        Request::Execute { container: self.container, process: Box::new(process) }
    }
}
