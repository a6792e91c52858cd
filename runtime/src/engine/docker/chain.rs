//! Chains: containers in which steps run one after another, each as a command of the engine's (`exec`), with no image in
//! between.
//!
//! Process 1 is a helper (`helper/chain.c`). When a step's process has ended, it ends whatever that left running, and says
//! whether the next step finds what it would find in a new container. A step's variables, user and working directory are
//! its command's; the container itself has none of its own. All that a step might set for a whole container keeps it out of
//! a chain (`graph/uses.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::attach::{self, Ear, Input, LULL, Output};
use super::cleaner::Container;
use super::failure::{self, BRIEF, LONG, within};
use super::held::HeldRun;
use super::path::locate;
use super::recipe::{Created, First, HOSTNAME_OF_STEPS, NetworkScope, Recipe, Stdin};
use super::records::Facts;
use super::{Shared, create, helper, keep, labels, place};
use crate::engine::{Process, Recording, Sink, StepSpec};
use crate::lock::lock;
use crate::model::{EntryKind, Existing, Exit, RunId, Snapshot};
use crate::{Error, Result};

/// The prefix that marks a snapshot as files that a step takes over.
const TAKEN: &str = "chain:";

/// How soon, and at last how often, the engine is asked whether a command has ended whose output goes on or that is quiet.
const ASK_FIRST: Duration = Duration::from_millis(4);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long process 1 may take to answer: longer than it waits itself for the end of others.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// More than what an engine says of a command that it cannot run.
const FIRST_WORDS: usize = 4 << 10;

/// The chains of a session between two steps, by the run of the first.
#[derive(Default)]
pub(super) struct Chains {
    /// Those whose files anybody may still have.
    waiting: Mutex<HashMap<RunId, Arc<tokio::sync::Mutex<Option<Between>>>>>,
    /// Those whose files the next step has taken over.
    taken: Mutex<HashMap<RunId, Between>>,
    /// Whether process 1 could not do on this engine what it is for.
    is_impossible: AtomicBool,
}

impl Chains {
    /// Releases all of them: the containers are removed in the background.
    pub(super) fn release(&self) {
        lock(&self.waiting).clear();
        lock(&self.taken).clear();
    }
}

/// A chain between two steps, with what is known of the first one's result.
pub(super) struct Between {
    pub(super) chain: Chain,
    pub(super) name: String,
    pub(super) facts: Facts,
    pub(super) output: Recording,
}

impl Between {
    /// Makes an image of the files that the first of the two steps left.
    pub(super) async fn keep(&mut self, shared: &Arc<Shared>) -> Result<Snapshot> {
        let Self { chain, name, facts, output } = self;
        let began = Instant::now();
        let running = HeldRun::running(&chain.container, chain.variables.clone(), name.clone());
        let kept = keep::keep(shared, &Arc::new(running), facts, output).await?;
        shared.records.kept_in(shared.records_at(), began.elapsed());
        chain.unkept = Duration::ZERO;
        Ok(kept)
    }
}

/// Lets a chain wait for its next step.
pub(super) fn wait(shared: &Shared, between: Between) {
    let run = between.facts.from.run.clone();
    lock(&shared.chains.waiting).insert(run, Arc::new(tokio::sync::Mutex::new(Some(between))));
}

/// Whether a chain has the files of this run, and nobody has taken them over.
pub(super) fn is_waiting(shared: &Shared, run: &RunId) -> bool {
    lock(&shared.chains.waiting).contains_key(run)
}

/// Makes an image of the files of a run that a chain has.
pub(super) async fn keep(shared: &Arc<Shared>, run: &RunId) -> Result<Option<Snapshot>> {
    let Some(slot) = lock(&shared.chains.waiting).get(run).cloned() else { return Ok(None) };
    match &mut *slot.lock().await {
        Some(between) => between.keep(shared).await.map(Some),
        None => Ok(None),
    }
}

/// Takes over the files of a run that a chain has: nobody else gets them.
pub(super) async fn take_over(shared: &Shared, run: &RunId) -> Option<Snapshot> {
    let slot = lock(&shared.chains.waiting).remove(run)?;
    // Whoever makes an image of them just now is waited for.
    let between = slot.lock().await.take()?;
    lock(&shared.chains.taken).insert(run.clone(), between);
    Some(Snapshot(format!("{TAKEN}{}", run.as_str())))
}

/// The chain that has what a step has taken over.
pub(super) fn taken(shared: &Shared, snapshot: &Snapshot) -> Result<Option<Between>> {
    let Some(run) = snapshot.0.strip_prefix(TAKEN) else { return Ok(None) };
    let between = lock(&shared.chains.taken).remove(&RunId::from(run));
    between.map(Some).ok_or_else(|| Error::internal("a step takes over what another one has"))
}

/// A container in which steps run.
pub(super) struct Chain {
    container: Container,
    first: FirstProcess,
    /// The variables that the image or a step had, which the next one does not have unless it is given them.
    variables: Vec<String>,
    /// How long the processes took since files were last kept.
    unkept: Duration,
}

/// What a step in a chain came to.
pub(super) struct Ran {
    pub(super) exit: Exit,
    pub(super) timed_out: bool,
    /// How long the process took, and with those before it of which nothing was kept.
    pub(super) took: Duration,
    pub(super) again: Duration,
    /// Whether another step may run in the container.
    pub(super) goes_on: bool,
}

/// How a command ended.
struct Ended {
    exit: Exit,
    timed_out: bool,
    goes_on: bool,
}

impl Chain {
    /// A chain for a step and those after it; `None` where the engine is not of a kind that can have one.
    pub(super) async fn begin(shared: &Arc<Shared>, step: &StepSpec) -> Result<Option<Self>> {
        let Some(process) = &step.process else { return Ok(None) };
        let Some(program) = helper::chain(&shared.description.platform) else { return Ok(None) };
        if shared.chains.is_impossible.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let what = format!("run steps of {}", step.name);
        // A name that nobody has. The program removes itself as it begins.
        let path = format!("/.bowline-{}", RunId::random().as_str());
        let first =
            Process { args: vec![path.clone()], workdir: process.workdir.clone(), ..Process::default() };
        let recipe = Recipe {
            container: shared.number('s'),
            name: &step.name,
            kind: labels::KIND_STEP,
            // Its files are of one run after another: nobody finds it by one.
            run: None,
            hostname: HOSTNAME_OF_STEPS,
            filesystem: &step.filesystem,
            process: Some(&first),
            links: &[],
            scope: NetworkScope::World,
            stdin: Stdin::Written,
            first: First::Own,
        };
        let Created { container, variables } = Box::pin(create::create(shared, recipe)).await?;
        let archive = archive(&path, program).map_err(|error| Error::engine(&what, error))?;
        place::upload(shared, &container, "/", Existing::Stays, stream::iter([Ok(archive)]))
            .await
            .map_err(failure::during(&what))?;
        let (output, input) = attach::attach(shared, container.name(), true).await?;
        let container = attach::start(shared, container, &what, &path).await?;
        let mut first = FirstProcess { input, output };
        if first.hear().await != Some(b'r') {
            shared.chains.is_impossible.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        Ok(Some(Self { container, first, variables, unkept: Duration::ZERO }))
    }

    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    /// Whether a step finds here what it would find in a container of its own.
    pub(super) async fn suits(&mut self, shared: &Arc<Shared>, step: &StepSpec) -> Result<bool> {
        let Some(process) = &step.process else { return Ok(false) };
        // It says nothing unless it is asked: what there is to be heard is its end.
        if self.first.output.next().now_or_never().is_some() {
            return Ok(false);
        }
        // The engine makes the working directory of a new container.
        let workdir = match process.workdir.as_str() {
            "" | "/" => return Ok(true),
            workdir => locate(shared, self.container.name(), workdir).await?,
        };
        Ok(matches!(workdir, Some((_, EntryKind::Directory))))
    }

    /// Runs a step's process to its end, and ends whatever it left running.
    pub(super) async fn run(
        &mut self,
        shared: &Arc<Shared>,
        what: &str,
        (process, stdin, limit): (&Process, Option<Arc<[u8]>>, Option<Duration>),
        sink: &Sink,
    ) -> Result<Ran> {
        let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
        let config = ExecConfig {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            cmd: Some(process.args.clone()),
            env: Some(create::environment(process, &self.variables)),
            user: Some(or(&process.user, "0")),
            working_dir: Some(or(&process.workdir, "/")),
            ..Default::default()
        };
        let variables = config.env.iter().flatten().map(|text| create::variable_name(text).to_owned());
        let variables = variables.collect();
        let exec = within(BRIEF, shared.client.create_exec(self.container.name(), config)).await;
        let exec = exec.map_err(failure::during(what))?.id;
        self.variables = variables;
        let began = Instant::now();
        let started = within(LONG, shared.client.start_exec(&exec, None)).await;
        let StartExecResults::Attached { output, input } = started.map_err(failure::during(what))? else {
            return Err(Error::engine(what, "the engine did not attach to it"));
        };
        let hearing = self.hear_out(shared, Command { id: &exec, what, process, output, limit }, sink);
        let ended = attach::while_feeding(input, stdin, Box::pin(hearing)).await?;
        let took = began.elapsed();
        self.unkept += took;
        let Ended { exit, timed_out, goes_on } = ended;
        Ok(Ran { exit, timed_out, took, again: self.unkept, goes_on })
    }

    async fn hear_out(&mut self, shared: &Arc<Shared>, command: Command<'_>, sink: &Sink) -> Result<Ended> {
        let Command { id, what, process, mut output, limit } = command;
        let mut ear = Ear::new(sink);
        // How its output began.
        let mut words = Vec::new();
        let mut hear = |piece: std::result::Result<LogOutput, bollard::errors::Error>| {
            let piece = piece.map_err(failure::during("listen to a process"))?;
            if let LogOutput::StdOut { message } = &piece {
                let room = FIRST_WORDS.saturating_sub(words.len());
                words.extend_from_slice(message.get(..room).unwrap_or(message));
            }
            ear.hear(piece)
        };
        let (mut is_open, mut timed_out, mut pause) = (true, false, ASK_FIRST);
        // When it is killed, once it is known to run: getting there is the engine's time.
        let mut until = None;
        let after = |limit: Option<Duration>| limit.and_then(|limit| Instant::now().checked_add(limit));
        // Its exit code, or that it never began; `None` if the container has ended.
        let ended = loop {
            if !timed_out && until.is_some_and(|until| until <= Instant::now()) {
                timed_out = true;
                let _ = self.first.end_others().await;
            }
            let mut wake = Instant::now() + pause;
            if let Some(until) = until.filter(|_| !timed_out) {
                wake = wake.min(until);
            }
            tokio::select! {
                biased;
                piece = output.next(), if is_open => {
                    if let Some(piece) = piece {
                        hear(piece)?;
                        until = until.or_else(|| after(limit));
                        continue;
                    }
                    // All that held the output have closed it, which says nothing of how the process ended.
                    (is_open, pause) = (false, ASK_FIRST);
                }
                // It has not been asked: the container has ended.
                _ = self.first.output.next() => break None,
                () = sleep_until(wake) => {
                    pause = (pause * 2).min(ASK_EVERY);
                    // It may have been on its way into the container.
                    if timed_out {
                        let _ = self.first.end_others().await;
                    }
                }
            }
            match look_at(shared, id, what).await? {
                State::Ended(code) => break Some(Ok(code)),
                State::NeverBegan => break Some(Err(())),
                State::Runs => until = until.or_else(|| after(limit)),
                State::Unknown => {}
            }
        };
        let goes_on =
            matches!(ended, Some(Ok(_))) && self.first.end_others().await == Some(b'c') && !timed_out;
        // Nothing holds it any more.
        while is_open && let Ok(Some(piece)) = timeout(LULL, output.next()).await {
            hear(piece)?;
        }
        let code = match ended {
            Some(Ok(code)) => code,
            Some(Err(())) => {
                let words = String::from_utf8_lossy(&words);
                let reason = words.trim().trim_start_matches("OCI runtime exec failed: ");
                let command = process.args.first().map_or("", String::as_str);
                return Err(attach::explain_start(what, command, reason));
            }
            None => attach::wait(shared, self.container.name()).await?,
        };
        let out_of_memory = code == 137 && attach::ran_out_of_memory(shared, self.container.name()).await;
        let exit = Exit { code, out_of_memory };
        Ok(Ended { exit, timed_out, goes_on: goes_on && !out_of_memory })
    }

    /// Ends the chain: what is left is a container that runs nothing.
    pub(super) fn end(self) -> Created {
        let Self { container, variables, .. } = self;
        // Process 1 ends with its standard input, which is closed here.
        Created { container, variables }
    }

    /// The same where more than process 1 may still run.
    pub(super) async fn kill(self, shared: &Arc<Shared>) -> Result<Created> {
        let created = self.end();
        let killed = within(LONG, shared.client.kill_container(created.container.name(), None)).await;
        match killed {
            Err(error) if !failure::is_absent(&error) && !failure::is_conflict(&error) => {
                return Err(failure::during("end a process")(error));
            }
            _ => {}
        }
        attach::wait(shared, created.container.name()).await?;
        Ok(created)
    }
}

/// A command that the engine has started.
struct Command<'a> {
    id: &'a str,
    what: &'a str,
    process: &'a Process,
    output: Output,
    /// How long it may run.
    limit: Option<Duration>,
}

/// Process 1 of a chain's container. It ends with this.
struct FirstProcess {
    input: Input,
    output: Output,
}

impl FirstProcess {
    /// Ends everything else in the container; gives the answer, if there is one.
    async fn end_others(&mut self) -> Option<u8> {
        let asked = async {
            self.input.write_all(b".").await?;
            self.input.flush().await
        };
        timeout(BRIEF, asked).await.ok()?.ok()?;
        self.hear().await
    }

    /// What it says next.
    async fn hear(&mut self) -> Option<u8> {
        loop {
            match timeout(ANSWERS_WITHIN, self.output.next()).await.ok()?? {
                Ok(LogOutput::StdOut { message }) if !message.is_empty() => return message.last().copied(),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// What the engine knows of a command.
enum State {
    /// It is about to begin, or the container is gone: whoever waits for that is told.
    Unknown,
    Runs,
    /// With this exit code.
    Ended(i32),
    /// It could not be run.
    NeverBegan,
}

async fn look_at(shared: &Shared, exec: &str, what: &str) -> Result<State> {
    let found = match within(BRIEF, shared.client.inspect_exec(exec)).await {
        Ok(found) => found,
        Err(error) if failure::is_absent(&error) => return Ok(State::Unknown),
        Err(error) => return Err(failure::during(what)(error)),
    };
    // The number of its process on the engine's machine; zero if there was none.
    let has_begun = found.pid.is_some_and(|pid| pid != 0);
    Ok(match found.exit_code.filter(|_| found.running == Some(false)) {
        Some(code) if has_begun => State::Ended(i32::try_from(code).unwrap_or(255)),
        Some(_) => State::NeverBegan,
        None if has_begun => State::Runs,
        None => State::Unknown,
    })
}

fn archive(path: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o700);
    header.set_size(program.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, path.trim_start_matches('/'), program)?;
    archive.into_inner()
}
