//! A shared service, as a process uses it that is one of several: all that is done with it is asked of its owner.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::sync::{OnceCell, watch};

use super::super::current::Task;
use super::super::forward::{self, Dial, Life};
use super::descriptors;
use super::wire::{
    Finding, Heard, Name, News, OWNER_IS_GONE, Probe, Refusal, Request, Saw, Welcome, decoded, failed,
    receive, send,
};
use crate::engine::{
    Attached, Call, Command, Connection, Dialing, Ended, Engine, Flow, Ingress, Instance, InstanceId,
    Listening, Place, PortNumber, ProbeProgress, Sink, Terminal,
};
use crate::event::{EventKind, Span, Waiting};
use crate::lock::lock;
use crate::model::{Digest, Exit, MadeOf, Port, Snapshot, WindowSize};
use crate::{Error, Result};

/// A service that is shared, for who wants to join those who use it.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// Its name for people.
    pub(super) name: String,
    pub(super) instance: InstanceId,
    /// At which containers reach it.
    pub(super) ports: Vec<PortNumber>,
    pub(super) owner: Name,
}

impl Shared {
    fn what(&self, what: &str) -> String {
        format!("{what} shared service `{}`", self.name)
    }

    async fn ask(&self, request: &Request) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.owner.socket()).await?;
        send(&mut stream, request).await?;
        Ok(stream)
    }

    /// Joins those who use it; `None` if nobody owns it at the moment.
    pub(super) async fn join(&self) -> Result<Option<Joined>> {
        let join = async {
            let mut stream = self.ask(&Request::Join).await?;
            let Welcome { owner, session } = receive(&mut stream).await?;
            Ok::<_, io::Error>(Joined { stream, owner, session })
        };
        match join.await {
            Ok(joined) => Ok(Some(joined)),
            // The last of these: it was about to end.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::engine(self.what("join"), error)),
        }
    }
}

/// Where the output of a service goes.
pub(in crate::session) struct Logs {
    pub(in crate::session) news: Sink,
    /// What was written before this process joined those who use it.
    pub(in crate::session) past: Sink,
}

/// The connection that makes a process one of those who use a service.
pub(super) struct Joined {
    stream: UnixStream,
    pub(super) owner: u32,
    pub(super) session: String,
}

/// Whether a service runs, as far as is known.
#[derive(Debug, Clone)]
enum State {
    Starting,
    Started,
    Ended(Result<Exit>),
}

/// A use of a shared service.
pub(in crate::session) struct Member {
    service: Shared,
    engine: Arc<dyn Engine>,
    state: watch::Sender<State>,
    /// Receives what happens to it. This process uses it as long as this runs.
    hearing: Mutex<Option<Task<()>>>,
    /// The steps that are known to have run against it, and how many of them the owner has told of.
    seen: Mutex<(HashSet<Digest>, usize)>,
    /// How containers of this session reach it, once one does.
    access: OnceCell<Access>,
}

/// An address in the session's network, and what forwards connections from there.
struct Access {
    place: Arc<dyn Place>,
    serving: Mutex<Vec<Task<()>>>,
}

impl Member {
    /// Uses it from here on. What is told of it besides its output goes to the span.
    pub(super) fn new(
        service: Shared,
        engine: Arc<dyn Engine>,
        joined: Joined,
        span: Option<Arc<Span>>,
        logs: Logs,
    ) -> Self {
        let Joined { stream, .. } = joined;
        let state = watch::channel(State::Starting).0;
        let hearing = hear(stream, state.clone(), span, logs, service.what("use"));
        let hearing = Mutex::new(Some(Task::spawn(hearing.map(Ok))));
        Self { service, engine, state, hearing, seen: Mutex::default(), access: OnceCell::new() }
    }

    /// Waits until its process was started.
    pub(super) async fn started(&self) -> Result<()> {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| !matches!(state, State::Starting)).await.as_deref() {
            // It may end at once; then its exit is what is to be told.
            Ok(State::Ended(Err(error))) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        Error::engine(self.service.what("use"), OWNER_IS_GONE)
    }

    /// Lets containers of this session reach it, which takes an engine some time: so only where there are any.
    pub(in crate::session) async fn reach(&self) -> Result<()> {
        let listen = async {
            let Shared { name, instance, ports, .. } = &self.service;
            let Ingress { listeners, place } = self.engine.listen(name, instance, ports).await?;
            let place: Arc<dyn Place> = place.into();
            let (dial, life) = (Arc::new(self.service.clone()), Arc::new(self.end()));
            let mut serving = forward::serve_all(listeners, ports, &dial, &life);
            let (lost, state, what) =
                (place.clone(), self.state.clone(), self.service.what("serve containers by"));
            let watch = async move {
                let why = lost.lost().await.err();
                let why = why.unwrap_or_else(|| Error::engine(what, "its address is gone"));
                state.send_if_modified(|state| {
                    let goes_on = !matches!(state, State::Ended(_));
                    if goes_on {
                        *state = State::Ended(Err(why));
                    }
                    goes_on
                });
                Ok(())
            };
            serving.push(Task::spawn(watch));
            Ok(Access { place, serving: Mutex::new(serving) })
        };
        self.access.get_or_try_init(|| listen).await.map(drop)
    }

    fn end(&self) -> End {
        End(self.state.subscribe())
    }

    /// Waits until it has ended, and returns the reason.
    pub(super) async fn broken(&self) -> Error {
        match self.end().wait().await {
            Err(error) => error,
            Ok(exit) => Error::engine(self.service.what("use"), format!("it exited: {exit}")),
        }
    }

    async fn request<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let answer = async { receive(&mut self.service.ask(request).await?).await };
        answer.await.map_err(failed(self.service.what("use")))
    }

    /// Whether it is known to be ready in this way.
    pub(in crate::session) async fn is_ready(&self, manner: &str) -> Result<bool> {
        self.request(&Request::IsReady { manner: manner.to_owned() }).await
    }

    /// It was found ready in this way.
    pub(in crate::session) async fn found_ready(&self, manner: &str) -> Result<()> {
        let answer: Option<super::wire::Fault> =
            self.request(&Request::Ready { manner: manner.to_owned() }).await?;
        answer.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Learns which steps other processes have run against it.
    pub(in crate::session) async fn learn_seen(&self) -> Result<()> {
        let known = lock(&self.seen).1;
        let news: Vec<Digest> = self.request(&Request::Seen { known }).await?;
        let mut seen = lock(&self.seen);
        // Two may have asked at once.
        seen.1 = seen.1.max(known + news.len());
        seen.0.extend(news);
        Ok(())
    }

    pub(in crate::session) fn has_seen(&self, step: Digest) -> bool {
        lock(&self.seen).0.contains(&step)
    }

    /// A step that only this session knows was run against it.
    pub(in crate::session) fn saw(&self, step: Digest) {
        lock(&self.seen).0.insert(step);
    }

    /// Waits until no other process runs this step against it.
    pub(in crate::session) async fn turn(&self, step: Digest) -> Result<Turn> {
        let turn = async {
            let mut stream = self.service.ask(&Request::Turn { step }).await?;
            let was_seen: bool = receive(&mut stream).await?;
            Ok((stream, was_seen))
        };
        let (stream, was_seen) = turn.await.map_err(failed(self.service.what("use")))?;
        if was_seen {
            self.saw(step);
        }
        Ok(Turn { stream })
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("service", &self.service)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// The right to run a step against a shared service, until this is dropped.
#[derive(Debug)]
pub(in crate::session) struct Turn {
    stream: UnixStream,
}

impl Turn {
    /// The step was run.
    pub(in crate::session) async fn saw(&mut self) -> Result<()> {
        let said = async {
            send(&mut self.stream, &Saw).await?;
            receive::<Saw>(&mut self.stream).await
        };
        said.await.map(drop).map_err(failed("tell the owner of a shared service what was run against it"))
    }
}

/// Takes down what the owner tells.
async fn hear(
    mut stream: UnixStream,
    state: watch::Sender<State>,
    span: Option<Arc<Span>>,
    logs: Logs,
    what: String,
) {
    let emit = |kind: EventKind| {
        if let Some(span) = &span {
            span.emit(|| kind);
        }
    };
    let ended = loop {
        match receive(&mut stream).await {
            Ok(News::Waiting { cache, service, owner }) => {
                let (cache, service) = ((&*cache).into(), service.into());
                emit(EventKind::Waiting(Waiting::Cache { cache, service, owner: owner.into() }));
            }
            Ok(News::Started) => drop(state.send_replace(State::Started)),
            Ok(News::Output { stream, bytes, is_past }) => {
                let log = if is_past { &logs.past } else { &logs.news };
                log(stream, &decoded(&bytes));
            }
            Ok(News::Skipped { bytes }) => {
                emit(EventKind::warning(format!("{bytes} bytes of its output are not kept any more")));
            }
            Ok(News::Exited { exit }) => break Ok(exit),
            Ok(News::Failed(fault)) => break Err(fault.into()),
            Err(error) => break Err(failed(what)(error)),
        }
    };
    state.send_replace(State::Ended(ended));
}

/// Tells when a service has ended, or this process does not use it any more.
struct End(watch::Receiver<State>);

impl End {
    async fn wait(&self) -> Result<Exit> {
        let mut state = self.0.clone();
        let ended = state.wait_for(|state| matches!(state, State::Ended(_))).await;
        match ended.as_deref() {
            Ok(State::Ended(ended)) => ended.clone(),
            _ => Ok(LEFT),
        }
    }
}

/// What is told of a service that goes on without this process.
const LEFT: Exit = Exit { code: 0, out_of_memory: false };

impl Life for End {
    fn over(&self) -> BoxFuture<'_, ()> {
        self.wait().map(drop).boxed()
    }
}

impl Shared {
    async fn tcp(&self, port: u16) -> io::Result<Connection> {
        let descriptor = self.descriptor(&Request::Connect { port }).await?.1;
        Ok(Connection::Socket(TcpStream::from_std(descriptor.into())?))
    }

    async fn udp(&self, port: u16) -> io::Result<Flow> {
        let descriptor = self.descriptor(&Request::Flow { port }).await?.1;
        Ok(Flow::Socket(UdpSocket::from_std(descriptor.into())?))
    }

    async fn descriptor(&self, request: &Request) -> io::Result<(UnixStream, std::os::fd::OwnedFd)> {
        let mut stream = self.ask(request).await?;
        match descriptors::receive(&stream).await? {
            Some(descriptor) => Ok((stream, descriptor)),
            None => Err(receive::<Refusal>(&mut stream).await?.into()),
        }
    }
}

impl Dial for Shared {
    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Box::pin(self.tcp(port))
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Box::pin(self.udp(port))
    }
}

impl Member {
    /// Waits for the end of a probe.
    async fn find(&self, probe: Probe, progress: &ProbeProgress) -> Result<()> {
        let find = async {
            let mut stream = self.service.ask(&Request::Probe(probe)).await?;
            loop {
                match receive(&mut stream).await? {
                    Finding::Found { probe, failure } => progress.note(&probe, failure.as_deref()),
                    Finding::Passed => return Ok(Ok(())),
                    Finding::Failed(fault) => return Ok(Err(fault.into())),
                }
            }
        };
        find.await.map_err(failed(self.service.what("probe")))?
    }
}

impl Instance for Member {
    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async { self.end().wait().await })
    }

    fn wait_ports<'a>(&'a self, ports: &'a [Port], progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(self.find(Probe::Ports(ports.to_vec()), progress))
    }

    fn wait_http<'a>(&'a self, port: u16, path: &'a str, progress: &'a ProbeProgress) -> Call<'a, ()> {
        Box::pin(self.find(Probe::Http { port, path: path.to_owned() }, progress))
    }

    fn listening(&self) -> Call<'_, Option<BTreeSet<Listening>>> {
        Box::pin(async {
            let answer: Result<Option<BTreeSet<Listening>>, super::wire::Fault> =
                self.request(&Request::Listening).await?;
            answer.map_err(Into::into)
        })
    }

    fn connect(&self, port: u16) -> Dialing<'_, Connection> {
        Box::pin(self.service.tcp(port))
    }

    fn flow(&self, port: u16) -> Dialing<'_, Flow> {
        Box::pin(self.service.udp(port))
    }

    fn address(&self) -> Call<'_, IpAddr> {
        Box::pin(async {
            let answer: Result<IpAddr, super::wire::Fault> = self.request(&Request::Address).await?;
            answer.map_err(Into::into)
        })
    }

    fn execute(&self, command: Command, sink: Sink) -> Call<'_, Ended> {
        Box::pin(async move {
            let execute = async {
                let mut stream = self.service.ask(&Request::Execute { command }).await?;
                loop {
                    match receive(&mut stream).await? {
                        Heard::Output { stream, bytes } => sink(stream, &decoded(&bytes)),
                        Heard::Ended(ended) => return Ok(Ok(ended)),
                        Heard::Failed(fault) => return Ok(Err(fault.into())),
                    }
                }
            };
            execute.await.map_err(failed(self.service.what("run a command in")))?
        })
    }

    fn open(&self, command: Command, size: WindowSize) -> Call<'_, Terminal> {
        Box::pin(async move {
            let open = async {
                let (stream, descriptor) = self.service.descriptor(&Request::Open { command, size }).await?;
                let (output, input) = UnixStream::from_std(descriptor.into())?.into_split();
                let (mut told, sizes) = stream.into_split();
                let (end, ended) = watch::channel(None);
                let hearing = async move {
                    let exit: io::Result<Exit> = receive(&mut told).await;
                    end.send_replace(Some(exit.map_err(failed("wait for a command in a shared service"))));
                    Ok(())
                };
                let process =
                    Remote { sizes: tokio::sync::Mutex::new(sizes), ended, _hearing: Task::spawn(hearing) };
                Ok(Terminal { input: Box::pin(input), output: Box::pin(output), process: Box::new(process) })
            };
            open.await.map_err(failed(self.service.what("open a terminal in")))
        })
    }

    fn signal<'a>(&'a self, _signal: &'a str) -> Call<'a, ()> {
        // It goes on for others: only this process's use ends.
        drop(lock(&self.hearing).take());
        self.state.send_replace(State::Ended(Ok(LEFT)));
        Box::pin(async { Ok(()) })
    }

    fn is_alive(&self) -> Call<'_, bool> {
        Box::pin(async {
            if matches!(*self.state.borrow(), State::Ended(_)) {
                return Ok(false);
            }
            // Nobody answers whose owner is gone.
            Ok(self.request(&Request::IsAlive).await.unwrap_or(false))
        })
    }

    fn keep(&self, _key: Digest, _: Vec<MadeOf>) -> Call<'_, Snapshot> {
        let what = self.service.what("keep what is left of");
        Box::pin(async { Err(Error::engine(what, "others may use it")) })
    }

    fn remove(&self) -> Call<'_, ()> {
        Box::pin(async {
            self.signal("").await?;
            let Some(access) = self.access.get() else { return Ok(()) };
            lock(&access.serving).clear();
            access.place.remove().await
        })
    }
}

/// A command with a terminal, in a process of the owner's.
struct Remote {
    sizes: tokio::sync::Mutex<tokio::net::unix::OwnedWriteHalf>,
    ended: watch::Receiver<Option<Result<Exit>>>,
    _hearing: Task<()>,
}

impl Attached for Remote {
    fn resize(&self, size: WindowSize) -> Call<'_, ()> {
        Box::pin(async move {
            let sent = send(&mut *self.sizes.lock().await, &size).await;
            sent.map_err(failed("resize a terminal in a shared service"))
        })
    }

    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async {
            let mut ended = self.ended.clone();
            match ended.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(exit)) => exit.clone(),
                _ => Err(Error::engine("wait for a command in a shared service", OWNER_IS_GONE)),
            }
        })
    }
}
