//! The process that owns a shared service: it runs the service in a session of the engine of its own, for processes that
//! come and go, and ends after the last of them, however they ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::{current, forward};
use super::backlog::{Backlog, Cursor, Next};
use super::member::{Logs, Member, Shared};
use super::wire::{
    Begun, Bound, Fault, Finding, Heard, News, Order, Probe, Refusal, Request, Saw, Welcome, encoded, failed,
    read, receive, send, write,
};
use super::{descriptors, place};
use crate::engine::{
    CacheLocks, Command, Connection, Datagrams, Engine, Flow, InUse, Instance, ProbeProgress, Relayed, Sink,
    Terminal,
};
use crate::lock::lock;
use crate::model::{Digest, Exit, SessionId, Stream, WindowSize};
use crate::reexec::{self, Channel};
use crate::{Error, Result};

reexec::role!(
    /// Owns a service that processes share.
    ROLE, "shared-service", Anew, main
);

/// How long an owner waits for the first member, which made it.
const JOINED_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait for the end of a killed process: one that hangs in the kernel may never end.
const DEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long members may take to hear the last of the service.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// The longest time between two looks at whether the service is needed.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

fn main(mut channel: Channel) {
    let Ok(order) = read::<Order>(&mut channel) else { return };
    // What is relative in variables is relative to this. If it is gone, nothing there is needed.
    let _ = std::env::set_current_dir(&order.directory);
    choose_engine(&order.engine.0);
    let held = match place::lock(&order.name) {
        Ok(Some(held)) => held,
        Ok(None) => return drop(write(&mut channel, &Begun::Taken)),
        Err(error) => {
            let failed = failed(format!("lock {}", order.name.lock().display()))(error);
            return drop(write(&mut channel, &Begun::Failed(failed.into())));
        }
    };
    match current::handle() {
        Ok(runtime) => runtime.block_on(own(&order, channel)),
        Err(error) => drop(write(&mut channel, &Begun::Failed(error.into()))),
    }
    drop(held);
}

/// The engine that the members have, whichever answers first now.
#[allow(unsafe_code)]
fn choose_engine(name: &str) {
    // SAFETY: this process has one thread so far.
    unsafe { std::env::set_var("BOWLINE_ENGINE", name) };
}

async fn own(order: &Order, mut channel: Channel) {
    // What an owner left that was killed.
    let _ = std::fs::remove_file(order.name.socket());
    let listener = match UnixListener::bind(order.name.socket()) {
        Ok(listener) => listener,
        Err(error) => {
            let failed = failed(format!("listen at {}", order.name.socket().display()))(error);
            return drop(write(&mut channel, &Begun::Failed(failed.into())));
        }
    };
    let owned = Arc::new(Owned::new());
    let accepting = tokio::spawn(accept(listener, owned.clone()));
    if write(&mut channel, &Begun::Listening).is_err() {
        return; // the maker is dead, and nobody else can have come yet
    }
    drop(channel);
    run(order, &owned).await;
    accepting.abort();
    let _ = timeout(HEARD_WITHIN, owned.has_no_members()).await;
}

/// Runs the service as long as it is needed, and lets nothing of it be left.
async fn run(order: &Order, owned: &Arc<Owned>) {
    let engine = tokio::select! {
        engine = open(order, &owned.session) => engine,
        () = owned.is_deserted(order.linger) => return,
    };
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return owned.end(Err(error.into())),
    };
    let mut running = Run::default();
    let end = tokio::select! {
        end = running.serve(order, &engine, owned) => end,
        () = owned.is_deserted(order.linger) => Ok(Exit { code: 0, out_of_memory: false }),
    };
    owned.end(end.map_err(Fault::from));
    running.stop(order).await;
    // Whoever cleans up after a session that dies does what this could not.
    let _ = engine.close().await;
}

async fn open(order: &Order, session: &SessionId) -> Result<Arc<dyn Engine>> {
    let engine = crate::engine::open(session, None).await?;
    let (name, place) = &order.engine;
    let found = engine.describe();
    if found.name != name || found.place != *place {
        let message = format!("the engine is {} at {}, and not {name} at {place}", found.name, found.place);
        return Err(Error::engine("open the engine of a shared service", message));
    }
    engine.uses_since(order.since)?;
    Ok(engine)
}

/// One run of the service.
#[derive(Default)]
struct Run {
    bound: Vec<Arc<Member>>,
    caches: Option<Arc<dyn CacheLocks>>,
    instance: Option<Arc<dyn Instance>>,
}

impl Run {
    /// Starts it, and waits for its end.
    async fn serve(&mut self, order: &Order, engine: &Arc<dyn Engine>, owned: &Arc<Owned>) -> Result<Exit> {
        for bound in &order.bound {
            self.bound.push(bind(bound, engine).await?);
        }
        if !order.caches.is_empty() {
            let waiting = |in_use: InUse| owned.wait(in_use);
            let locks = engine.lock_caches(&order.service.name, &order.caches, &waiting);
            let locks = match timeout(order.within, locks).await {
                Ok(locks) => locks?,
                Err(_) => return Err(owned.is_kept_waiting(order)),
            };
            let _ = owned.caches.set(locks.clone());
            self.caches = Some(locks);
        }
        let prepared = engine.prepare_service(order.service.clone()).await?;
        let heard = owned.clone();
        let log: Sink = Arc::new(move |stream, piece: &[u8]| heard.hear(stream, piece));
        let instance = prepared.start(log).await?;
        self.instance = Some(instance.clone());
        owned.start(instance.clone());
        let broken = self.bound.iter().map(|bound| Box::pin(bound.broken()));
        let broken = async {
            if self.bound.is_empty() {
                std::future::pending().await
            } else {
                futures_util::future::select_all(broken).await.0
            }
        };
        tokio::select! {
            biased;
            exit = instance.wait() => exit,
            error = broken => Err(error),
        }
    }

    /// Stops it, if it runs, and removes what is left.
    async fn stop(self, order: &Order) {
        if let Some(instance) = self.instance {
            let (signal, within) = &order.stop;
            let gentle = async {
                instance.signal(signal).await.ok()?;
                instance.wait().await.ok()
            };
            if !matches!(timeout(*within, gentle).await, Ok(Some(_))) {
                let _ = instance.signal("SIGKILL").await;
                let _ = timeout(DEAD_WITHIN, instance.wait()).await;
            }
            let _ = instance.remove().await;
        }
        if let Some(caches) = self.caches {
            let _ = caches.release().await;
        }
        for bound in self.bound {
            let _ = bound.remove().await;
        }
    }
}

/// Uses a service that this one is bound to, as any member does.
async fn bind(bound: &Bound, engine: &Arc<dyn Engine>) -> Result<Arc<Member>> {
    let shared = Shared {
        name: bound.service.clone(),
        instance: bound.instance.clone(),
        ports: bound.ports.clone(),
        owner: bound.name.clone(),
    };
    let what = format!("use shared service `{}`", bound.service);
    let joined = shared.join().await?.ok_or_else(|| Error::engine(what, super::wire::OWNER_IS_GONE))?;
    let unheard: Sink = Arc::new(|_, _: &[u8]| {});
    let logs = Logs { news: unheard.clone(), past: unheard };
    let member = Arc::new(Member::new(shared, engine.clone(), joined, None, logs));
    member.started().await?;
    member.reach().await?;
    Ok(member)
}

/// What is known of the service, and who uses it.
struct Owned {
    /// The session in which it runs.
    session: SessionId,
    state: Mutex<State>,
    /// Changes with everything that members are told.
    changed: watch::Sender<()>,
    /// How many members there are, and when that last changed.
    members: watch::Sender<Members>,
    instance: OnceLock<Arc<dyn Instance>>,
    caches: OnceLock<Arc<dyn CacheLocks>>,
    /// Set once what the service wrote to new caches is valid.
    settled: OnceCell<()>,
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct State {
    waiting: Vec<InUse>,
    output: Backlog,
    end: Option<Result<Exit, Fault>>,
    /// The manners in which it is known to be ready.
    ready: HashSet<String>,
    /// The steps that have run against it, in that order.
    seen: Vec<Digest>,
}

struct Members {
    count: usize,
    /// Whether there has been one.
    any: bool,
    since: Instant,
    /// Set when nobody can join any more.
    closed: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { count: 0, any: false, since: Instant::now(), closed: false }
    }
}

impl Owned {
    fn new() -> Self {
        Self {
            session: SessionId::random(),
            state: Mutex::default(),
            changed: watch::Sender::default(),
            members: watch::Sender::default(),
            instance: OnceLock::new(),
            caches: OnceLock::new(),
            settled: OnceCell::new(),
            turns: Mutex::default(),
        }
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.send_replace(());
    }

    fn wait(&self, in_use: InUse) {
        self.tell(|state| state.waiting.push(in_use));
    }

    /// The error for caches that are not to be had in time.
    fn is_kept_waiting(&self, order: &Order) -> Error {
        let found = lock(&self.state).waiting.last().map(|in_use| (in_use.cache.clone(), in_use.by()));
        let message = match found {
            Some((cache, by)) => format!("cache `{cache}`: {by}"),
            None => "its caches: the engine did not answer in time".to_owned(),
        };
        Error::engine(format!("start shared service `{}`", order.service.name), message)
    }

    fn hear(&self, stream: Stream, piece: &[u8]) {
        self.tell(|state| state.output.push(stream, piece));
    }

    fn start(&self, instance: Arc<dyn Instance>) {
        let _ = self.instance.set(instance);
        self.changed.send_replace(());
    }

    /// From here on nobody can join.
    fn end(&self, end: Result<Exit, Fault>) {
        self.members.send_modify(|members| members.closed = true);
        self.tell(|state| state.end = Some(end));
    }

    /// Becomes a member, until the guard is dropped.
    fn join(self: &Arc<Self>) -> Option<Membership> {
        let mut has_joined = false;
        self.members.send_modify(|members| {
            if !members.closed {
                *members =
                    Members { count: members.count + 1, any: true, since: Instant::now(), closed: false };
                has_joined = true;
            }
        });
        has_joined.then(|| Membership(self.clone()))
    }

    /// Waits until the service is needed no longer: it lingers, unless nobody found it ready. Then nobody can join.
    async fn is_deserted(&self, linger: Duration) {
        let mut members = self.members.subscribe();
        loop {
            let linger = match lock(&self.state).ready.is_empty() {
                _ if !members.borrow().any => JOINED_WITHIN,
                true => Duration::ZERO,
                false => linger,
            };
            let (count, since) = {
                let members = members.borrow_and_update();
                (members.count, members.since)
            };
            let at = if count == 0 { since.checked_add(linger) } else { None };
            tokio::select! {
                () = sleep_until(at.unwrap_or_else(|| Instant::now() + FOREVER)) => {}
                _ = members.changed() => continue,
            }
            let mut is_deserted = false;
            self.members.send_if_modified(|members| {
                is_deserted = at.is_some() && members.count == 0 && members.since == since;
                members.closed |= is_deserted;
                false
            });
            if is_deserted {
                return;
            }
        }
    }

    async fn has_no_members(&self) {
        let _ = self.members.subscribe().wait_for(|members| members.count == 0).await;
    }

    fn instance(&self) -> Result<Arc<dyn Instance>> {
        let not_yet = || Error::engine("use a shared service", "it was not started yet");
        self.instance.get().cloned().ok_or_else(not_yet)
    }
}

/// Counts one who uses the service.
struct Membership(Arc<Owned>);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.members.send_modify(|members| {
            members.count -= 1;
            members.since = Instant::now();
        });
    }
}

async fn accept(listener: UnixListener, owned: Arc<Owned>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // The directory lets in nobody else; this is for systems that do not look at it.
                if stream.peer_cred().is_ok_and(|peer| peer.uid() == place::user()) {
                    tokio::spawn(answer(stream, owned.clone()));
                }
            }
            // Too many open files, for example: some may be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Waits until the other side has closed: it says nothing more before that.
async fn closed(stream: &mut OwnedReadHalf) {
    let mut byte = [0];
    let _ = tokio::io::AsyncReadExt::read(stream, &mut byte).await;
}

/// Answers a request. Whatever is being done for it ends when the other side closes.
async fn answer(mut stream: UnixStream, owned: Arc<Owned>) {
    let Ok(request) = receive::<Request>(&mut stream).await else { return };
    // An error is that of somebody who does not listen any more.
    let _ = match request {
        Request::Connect { port } => connect(stream, &owned, port).await,
        Request::Flow { port } => flow(stream, &owned, port).await,
        Request::Open { command, size } => open_terminal(stream, &owned, command, size).await,
        request => {
            let (mut from, mut to) = stream.into_split();
            match request {
                Request::Turn { step } => turn(&mut from, &mut to, &owned, step).await,
                request => tokio::select! {
                    done = reply(&mut to, &owned, request) => done,
                    () = closed(&mut from) => Ok(()),
                },
            }
        }
    };
}

async fn reply(to: &mut OwnedWriteHalf, owned: &Arc<Owned>, request: Request) -> io::Result<()> {
    match request {
        Request::Join => {
            let Some(_membership) = owned.join() else { return Ok(()) };
            let session = owned.session.to_string();
            send(to, &Welcome { owner: std::process::id(), session }).await?;
            tell_news(to, owned).await
        }
        Request::Probe(probe) => send_findings(to, owned, &probe).await,
        Request::Address => {
            let address = async { owned.instance()?.address().await };
            send(to, &address.await.map_err(Fault::from)).await
        }
        Request::Listening => {
            let listening = async { owned.instance()?.listening().await };
            send(to, &listening.await.map_err(Fault::from)).await
        }
        Request::IsAlive => {
            let is_alive = async { owned.instance()?.is_alive().await };
            send(to, &is_alive.await.unwrap_or(false)).await
        }
        Request::Execute { command } => execute(to, owned, command).await,
        Request::IsReady { manner } => {
            let is_ready = lock(&owned.state).ready.contains(&manner);
            send(to, &is_ready).await
        }
        Request::Ready { manner } => {
            let settle = async {
                match owned.caches.get() {
                    Some(caches) => caches.settle().await,
                    None => Ok(()),
                }
            };
            let settled = owned.settled.get_or_try_init(|| settle).await;
            if settled.is_ok() {
                lock(&owned.state).ready.insert(manner);
            }
            send(to, &settled.err().map(Fault::from)).await
        }
        Request::Seen { known } => {
            let seen = lock(&owned.state).seen.get(known..).map(<[Digest]>::to_vec);
            send(to, &seen.unwrap_or_default()).await
        }
        Request::Turn { .. } | Request::Connect { .. } | Request::Flow { .. } | Request::Open { .. } => {
            Ok(())
        }
    }
}

/// Tells a member what happens, to the end.
async fn tell_news(to: &mut OwnedWriteHalf, shared: &Owned) -> io::Result<()> {
    let mut changed = shared.changed.subscribe();
    let (mut waiting, mut has_started, mut output) = (0, false, Cursor::default());
    let joined_at = lock(&shared.state).output.end();
    loop {
        changed.mark_unchanged();
        loop {
            let next = lock(&shared.state).waiting.get(waiting).cloned();
            let Some(InUse { cache, user: service, owner }) = next else { break };
            waiting += 1;
            send(to, &News::Waiting { cache, service, owner }).await?;
        }
        if !has_started && shared.instance.get().is_some() {
            has_started = true;
            send(to, &News::Started).await?;
        }
        // Looked at before the output, of which nothing comes after it.
        let end = lock(&shared.state).end.clone();
        loop {
            let next = lock(&shared.state).output.next(&mut output);
            match next {
                Some(Next::Piece(stream, bytes)) => {
                    let is_past = output.piece <= joined_at;
                    send(to, &News::Output { stream, bytes: encoded(&bytes), is_past }).await?;
                }
                Some(Next::Skipped(bytes)) => send(to, &News::Skipped { bytes }).await?,
                None => break,
            }
        }
        match end {
            Some(Ok(exit)) => return send(to, &News::Exited { exit }).await,
            Some(Err(fault)) => return send(to, &News::Failed(fault)).await,
            None => {}
        }
        if changed.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Sends what a probe finds, and how it ends.
async fn send_findings(to: &mut OwnedWriteHalf, owned: &Owned, probe: &Probe) -> io::Result<()> {
    let (found, finds) = mpsc::unbounded_channel();
    let progress = ProbeProgress::telling(move |probe, failure| {
        let _ = found.send(Finding::Found { probe: probe.to_owned(), failure: failure.map(str::to_owned) });
    });
    let done = async {
        let instance = owned.instance()?;
        match probe {
            Probe::Ports(ports) => instance.wait_ports(ports, &progress).await,
            Probe::Http { port, path } => instance.wait_http(*port, path, &progress).await,
        }
    };
    let last = async { done.await.map_or_else(|error| Finding::Failed(error.into()), |()| Finding::Passed) };
    send_until(to, finds, last).await
}

/// Sends messages as they come, and the last one behind them.
async fn send_until<M: Serialize>(
    to: &mut OwnedWriteHalf,
    mut messages: mpsc::UnboundedReceiver<M>,
    last: impl Future<Output = M>,
) -> io::Result<()> {
    let mut last = std::pin::pin!(last);
    loop {
        tokio::select! {
            biased;
            Some(message) = messages.recv() => send(to, &message).await?,
            last = &mut last => {
                while let Ok(message) = messages.try_recv() {
                    send(to, &message).await?;
                }
                return send(to, &last).await;
            }
        }
    }
}

async fn execute(to: &mut OwnedWriteHalf, owned: &Owned, command: Command) -> io::Result<()> {
    // What is heard waits here, as long as the member does not take it.
    let (heard, pieces) = mpsc::unbounded_channel();
    let sink: Sink = Arc::new(move |stream, piece: &[u8]| {
        let _ = heard.send(Heard::Output { stream, bytes: encoded(piece) });
    });
    let done = async {
        match owned.instance() {
            Ok(instance) => instance.execute(command, sink).await,
            Err(error) => Err(error),
        }
    };
    let last = async { done.await.map_or_else(|error| Heard::Failed(error.into()), Heard::Ended) };
    send_until(to, pieces, last).await
}

/// Lets one member at a time run a step, and those after it know that it was run.
async fn turn(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    owned: &Owned,
    step: Digest,
) -> io::Result<()> {
    let mutex = lock(&owned.turns).entry(step).or_default().clone();
    let _turn = tokio::select! {
        turn = mutex.lock() => turn,
        () = closed(from) => return Ok(()),
    };
    let was_seen = lock(&owned.state).seen.contains(&step);
    send(to, &was_seen).await?;
    if was_seen {
        return Ok(());
    }
    let Saw = receive(from).await?;
    lock(&owned.state).seen.push(step);
    send(to, &Saw).await?;
    closed(from).await;
    Ok(())
}

async fn connect(to: UnixStream, owned: &Owned, port: u16) -> io::Result<()> {
    let connect = async {
        let instance = owned.instance().map_err(io::Error::other)?;
        match instance.connect(port).await? {
            Connection::Socket(socket) => Ok(socket),
            Connection::Relayed(relayed) => carried(relayed).await,
        }
    };
    pass(to, connect.await).await
}

async fn flow(to: UnixStream, owned: &Owned, port: u16) -> io::Result<()> {
    let flow = async {
        let instance = owned.instance().map_err(io::Error::other)?;
        match instance.flow(port).await? {
            Flow::Socket(socket) => Ok(socket),
            Flow::Relayed(datagrams) => carried_datagrams(datagrams).await,
        }
    };
    pass(to, flow.await).await
}

/// Passes a socket, or says why there is none.
async fn pass(mut to: UnixStream, socket: io::Result<impl AsFd>) -> io::Result<()> {
    match socket {
        Ok(socket) => descriptors::send(&to, Some(socket.as_fd())).await,
        Err(error) => refuse(&mut to, error).await,
    }
}

async fn refuse(to: &mut UnixStream, error: io::Error) -> io::Result<()> {
    descriptors::send(to, None).await?;
    send(to, &Refusal::from(error)).await
}

/// A socket for a connection that an engine carries: another process can have no other.
async fn carried(relayed: Box<dyn Relayed>) -> io::Result<TcpStream> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let theirs = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (ours, from) = listener.accept().await?;
        // Somebody else on this machine may have found the port.
        if from == theirs.local_addr()? {
            let carry = forward::join(Connection::Socket(ours), Connection::Relayed(relayed));
            tokio::spawn(carry);
            return Ok(theirs);
        }
    }
}

/// The same for datagrams. It ends with the service.
async fn carried_datagrams(mut datagrams: Datagrams) -> io::Result<UdpSocket> {
    let (ours, theirs) = (UdpSocket::bind(("127.0.0.1", 0)).await?, UdpSocket::bind(("127.0.0.1", 0)).await?);
    ours.connect(theirs.local_addr()?).await?;
    theirs.connect(ours.local_addr()?).await?;
    tokio::spawn(async move {
        let mut space = vec![0; 1 << 16];
        loop {
            tokio::select! {
                // Nobody is told that the other socket was closed.
                () = tokio::time::sleep(forward::IDLE) => return,
                read = ours.recv(&mut space) => match read {
                    Ok(length) => {
                        let _ = datagrams.sender.try_send(space.get(..length).unwrap_or_default().to_vec());
                    }
                    Err(_) => return,
                },
                datagram = datagrams.receiver.recv() => match datagram {
                    Some(datagram) if ours.send(&datagram).await.is_ok() => {}
                    _ => return,
                },
            }
        }
    });
    Ok(theirs)
}

/// A command with a terminal: what is typed and shown goes over a socket that is passed, and the request has the rest.
async fn open_terminal(
    mut to: UnixStream,
    owned: &Owned,
    command: Command,
    size: WindowSize,
) -> io::Result<()> {
    let open = async {
        let Terminal { input, output, process } = owned.instance()?.open(command, size).await?;
        let pair = UnixStream::pair().map_err(failed("open a terminal in a shared service"))?;
        Ok::<_, Error>((input, output, process, pair))
    };
    let (mut input, mut output, process, (ours, theirs)) = match open.await {
        Ok(opened) => opened,
        Err(error) => return refuse(&mut to, io::Error::other(error)).await,
    };
    descriptors::send(&to, Some(theirs.as_fd())).await?;
    drop(theirs);
    let (mut from, mut to) = to.into_split();
    let (mut typed, mut shown) = ours.into_split();
    let show = async {
        let _ = tokio::io::copy(&mut output, &mut shown).await;
        drop(shown);
    };
    let take = async {
        let _ = tokio::io::copy(&mut typed, &mut input).await;
        std::future::pending::<()>().await;
    };
    let resize = async {
        while let Ok(size) = receive::<WindowSize>(&mut from).await {
            let _ = process.resize(size).await;
        }
    };
    let end = async {
        if let Ok(exit) = process.wait().await {
            let _ = send(&mut to, &exit).await;
        }
    };
    tokio::select! {
        // The other side has closed: dropping the process kills it.
        () = resize => {}
        () = take => {}
        _ = futures_util::future::join(show, end) => {}
    }
    Ok(())
}
