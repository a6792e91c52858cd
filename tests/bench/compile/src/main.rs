//! What compiling costs: the macro by the number of items, and a first program beside those of peers.

mod cargo;
mod expansion;
mod hello;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
usage: tests/bench/run compile [--rounds N] [expansion | hello]

  expansion   the time that rustc spends on expanding a pipeline of 10, 100 and 1,000 items, and on checking such a
              program, beside the same written by hand with the builder
  hello       a first program that pings a Redis, with bowline, testcontainers and dagger-sdk: clean and incremental
              build, and how many crates that are

Without a name, both. Everything is built in a temporary directory, in turns, each N times (3 if not said otherwise;
five times as often what takes no minute); the medians are shown. Crates are fetched before the time is taken.
No container engine is needed: nothing is run.
";

struct Arguments {
    rounds: usize,
    only: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(arguments) = arguments()? else {
        print!("{HELP}");
        return Ok(());
    };
    let workplace = Workplace::create()?;
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    if wanted("expansion") {
        expansion::measure(&workplace.path, arguments.rounds * 5)?;
    }
    if wanted("hello") {
        hello::measure(&workplace.path, arguments.rounds)?;
    }
    Ok(())
}

fn arguments() -> Result<Option<Arguments>> {
    let mut arguments = Arguments { rounds: 3, only: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--rounds" => {
                let number = given.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                arguments.rounds = number.ok_or("`--rounds` takes a number of at least 1")?;
            }
            "expansion" | "hello" => arguments.only = Some(argument),
            other => return Err(format!("unknown argument `{other}`; see --help").into()),
        }
    }
    Ok(Some(arguments))
}

/// A temporary directory, gone at the end.
struct Workplace {
    path: PathBuf,
}

impl Workplace {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bowline-bench-compile-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} was not removed: {error}", self.path.display());
        }
    }
}

/// The crate that is measured.
fn runtime() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../runtime").to_owned()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
