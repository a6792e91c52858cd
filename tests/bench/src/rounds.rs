//! Runs every method again and again, in random order, and times each run from outside.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{IsTerminal as _, Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::{self, Engine};
use crate::methods::{Method, Role, SCENARIOS, Way};
use crate::{Result, Run};

/// The longest that any method may take: compose's slowest is half a minute.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two runs, for what the engine does after it has answered.
const PAUSE: Duration = Duration::from_millis(200);
/// A method that failed so often is not tried again.
const FAILURES_AT_MOST: usize = 2;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) result: Duration,
    pub(crate) whole: Duration,
    pub(crate) gone: Duration,
}

/// What came of one method.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) method: &'static Method,
    pub(crate) times: Vec<Times>,
    pub(crate) failures: Vec<String>,
    /// The tool that it needs is not installed.
    pub(crate) missing: bool,
}

impl Outcome {
    pub(crate) fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }
}

/// Runs them all, scenario by scenario. Whatever ends it, nothing is left in the engine.
pub(crate) async fn run(engine: &Engine, methods: &[&'static Method], rounds: usize) -> Result<Vec<Outcome>> {
    let batch = format!("bench-{}", std::process::id());
    let mut outcomes: Vec<Outcome> = methods
        .iter()
        .map(|method| {
            let missing =
                matches!(&method.way, Way::Script { tool, .. } if engine::tool_version(*tool).is_none());
            Outcome { method, times: Vec::new(), failures: Vec::new(), missing }
        })
        .collect();
    let ended = tokio::select! {
        ended = run_rounds(engine, &mut outcomes, rounds, &batch) => ended,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    let words = [batch];
    engine.remove(&words).await?;
    engine.remove_images(&words).await?;
    ended.map(|()| outcomes)
}

async fn run_rounds(engine: &Engine, outcomes: &mut [Outcome], rounds: usize, batch: &str) -> Result<()> {
    let mut number = 0;
    for (scenario, _) in SCENARIOS {
        let indices: Vec<usize> =
            (0..outcomes.len()).filter(|index| outcomes[*index].method.scenario == scenario).collect();
        if indices.is_empty() {
            continue;
        }
        for round in 0..=rounds {
            if std::io::stderr().is_terminal() {
                eprint!("\r{scenario}: round {round} of {rounds} ");
            }
            for index in shuffled(&indices) {
                let outcome = &mut outcomes[index];
                if outcome.missing || outcome.failures.len() >= FAILURES_AT_MOST {
                    continue;
                }
                number += 1;
                let run = Run { id: format!("{batch}-{number}-"), batch: batch.to_owned() };
                match time(engine, outcome.method, &run).await {
                    Ok(times) if round > 0 => outcome.times.push(times),
                    Ok(_) => {}
                    Err(error) => {
                        eprintln!("\n{}: {error}", outcome.method.full_name());
                        outcome.failures.push(error.to_string());
                    }
                }
                sleep(PAUSE).await;
            }
        }
        eprintln!("\r{scenario}: {rounds} rounds done   ");
    }
    Ok(())
}

/// Runs a method once.
async fn time(engine: &Engine, method: &Method, run: &Run) -> Result<Times> {
    let mut owned = vec![run.id.clone()];
    let timed = time_process(engine, method, run, &mut owned).await;
    if timed.is_err() {
        engine.remove(&owned).await?;
    }
    if method.role != Role::Cached {
        engine.remove_images(&owned).await?;
    }
    timed
}

async fn time_process(engine: &Engine, method: &Method, run: &Run, owned: &mut Vec<String>) -> Result<Times> {
    let mut errors = tempfile()?;
    let file = File::for_method(method, run)?;
    let mut command = command(method, run, &file)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?).kill_on_drop(true);

    let (mut began, started) = (Instant::now(), SystemTime::now());
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let mut heard = Heard { began: None, result: None };
    let ended = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                biased;
                status = child.wait() => break status.map(|status| (status, Instant::now())),
                line = lines.next_line() => match line {
                    Ok(Some(line)) => heard.hear(&line, owned),
                    _ => break child.wait().await.map(|status| (status, Instant::now())),
                },
            }
        }
    })
    .await;
    let Ok(ended) = ended else {
        child.kill().await?;
        return Err(with_errors(&format!("not done within {PATIENCE:?}"), &mut errors));
    };
    let (status, whole): (ExitStatus, Instant) = ended?;
    heard.hear_rest(&mut lines, owned).await;
    if !status.success() {
        return Err(with_errors(&format!("{status}"), &mut errors));
    }
    let result = heard.result.ok_or_else(|| with_errors("it gave no result", &mut errors))?;
    began = heard.began.unwrap_or(began);
    let gone = engine
        .gone(owned, started)
        .await?
        .ok_or_else(|| with_errors("it left something behind", &mut errors))?;
    Ok(Times { result: result - began, whole: whole - began, gone: gone - began })
}

/// What a run has said.
struct Heard {
    began: Option<Instant>,
    result: Option<Instant>,
}

impl Heard {
    fn hear(&mut self, line: &str, owned: &mut Vec<String>) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("begin", "") => self.began = Some(Instant::now()),
            ("result", "PONG" | "kept") => self.result = Some(Instant::now()),
            ("owns", label) => owned.push(label.to_owned()),
            _ => {}
        }
    }

    /// What was said just before the end. A grandchild may hold the pipe open, so its end is not waited for.
    async fn hear_rest(&mut self, lines: &mut Lines<BufReader<ChildStdout>>, owned: &mut Vec<String>) {
        while let Ok(Ok(Some(line))) = timeout(Duration::from_millis(20), lines.next_line()).await {
            self.hear(&line, owned);
        }
    }
}

fn command(method: &Method, run: &Run, file: &File) -> Result<Command> {
    match &method.way {
        Way::Here(_) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--child", &method.full_name(), &run.id, &run.batch]);
            // Ours is compared on both engines.
            command.env("BOWLINE_ENGINE", if method.name.contains("native") { "native" } else { "docker" });
            Ok(command)
        }
        Way::Script { script, .. } => {
            let mut command = Command::new("bash");
            command.args(["-c", script, "bash", &run.id]).arg(&file.0);
            Ok(command)
        }
    }
}

/// A script's file: there before it starts, as it is in a project.
struct File(PathBuf);

impl File {
    fn for_method(method: &Method, run: &Run) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{}.yml", run.id));
        if let Way::Script { file, .. } = &method.way {
            std::fs::write(&path, file)?;
        }
        Ok(Self(path))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file without a name, for standard error.
fn tempfile() -> Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("bowline-bench-{}.err", std::process::id()));
    let file = std::fs::File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn with_errors(what: &str, errors: &mut std::fs::File) -> Box<dyn std::error::Error + Send + Sync> {
    let mut text = String::new();
    let read = errors.rewind().and_then(|()| errors.read_to_string(&mut text));
    let text = if read.is_ok() { text.trim_end() } else { "" };
    format!("{what}\n{text}").trim_end().to_owned().into()
}

/// The same in random order. The standard library's hash keys are the machine's own randomness.
fn shuffled(indices: &[usize]) -> Vec<usize> {
    let random = RandomState::new();
    let mut keyed: Vec<_> = indices.iter().map(|index| (random.hash_one(index), *index)).collect();
    keyed.sort_unstable();
    debug_assert_eq!(keyed.iter().collect::<HashSet<_>>().len(), indices.len());
    keyed.into_iter().map(|(_, index)| index).collect()
}
