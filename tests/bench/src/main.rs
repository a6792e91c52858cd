//! What a pipeline costs with bowline, with its peers, and with the engine's bare API: side by side, in one run.
//!
//! ```text
//!   main      arguments
//!   methods   what is compared, and what each way leaves out
//!   rounds    runs them in random order, each as a process of its own, and times them from outside
//!   engine    what is left in the engine, and what machine this is
//!   table     what came out
//!   raw  raw_chain  raw_second  peers  ours  suites  tunnels     the ways themselves, as hidden sub-commands
//! ```
//!
//! A way says on its standard output what it has reached, a line each, and the time is taken when the line arrives:
//! `owns LABEL` (what its things in the engine are labelled with besides the run's name), `begin` (only from here on
//! does time count), `result TEXT` (what was asked for is known, its exit code included).

mod engine;
mod methods;
mod ours;
mod peers;
mod raw;
mod raw_chain;
mod raw_second;
mod rounds;
mod suites;
mod table;
mod tunnels;

use std::process::ExitCode;
use std::sync::OnceLock;

use methods::{METHODS, Method, Way};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
usage: tests/bench/run [--rounds N] [--list] [FILTER…]
       tests/bench/run compile [--help]

Runs every method, or those whose name contains one of the filters, in random order, N + 1 times (12 + 1 if not
said otherwise; the first round only warms up), each as a process of its own. Prints, for every scenario, how long it
took until the result was there, until the process had ended, and until nothing was left in the container engine;
then what each method leaves out, and what machine this is. A peer whose tool is not installed is named, not missed.

  --rounds N    how often each method is timed
  --list        names the methods and ends

Everything that is started is removed again. Ends with 1 when a method failed.
";

/// Who this process is when it is one run of one method.
#[derive(Debug, Clone)]
struct Run {
    /// The run's own name: everything it makes in the engine carries it.
    id: String,
    /// A text that is new in every run of the benchmark, for methods that may find what they left themselves.
    batch: String,
}

static RUN: OnceLock<Run> = OnceLock::new();

/// The run that this process is. Ways without parameters find it here.
fn this_run() -> Run {
    RUN.get().cloned().unwrap_or_else(|| Run { id: "bench-by-hand".to_owned(), batch: "by-hand".to_owned() })
}

/// Tells the parent what was reached.
fn say(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // A parent that is gone need not be told.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Checks what the example is to give, and tells.
fn say_result(output: &str) -> Result<()> {
    if output.trim() != "PONG" {
        return Err(format!("the answer was not PONG but {output:?}").into());
    }
    say("result PONG");
    Ok(())
}

struct Arguments {
    rounds: usize,
    methods: Vec<&'static Method>,
}

enum Wish {
    Bench(Arguments),
    Child(&'static Method),
    Show(String),
}

fn understand(mut arguments: impl Iterator<Item = String>) -> Result<Wish> {
    let (mut rounds, mut list, mut filters) = (12, false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Wish::Show(HELP.to_owned())),
            "--list" => list = true,
            "--rounds" => {
                let number = arguments.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
                rounds = number.ok_or("--rounds needs a number from 1 on")?;
            }
            "--child" => {
                let mut next = || arguments.next().ok_or("--child needs METHOD ID BATCH");
                let (name, id, batch) = (next()?, next()?, next()?);
                let _ = RUN.set(Run { id, batch });
                return Ok(Wish::Child(methods::find(&name).ok_or(format!("no method `{name}`"))?));
            }
            _ if argument.starts_with('-') => {
                return Err(format!("unknown argument: {argument} (see --help)").into());
            }
            _ => filters.push(argument),
        }
    }
    let wanted = |method: &&Method| {
        filters.is_empty() || filters.iter().any(|filter| method.full_name().contains(filter.as_str()))
    };
    let methods: Vec<_> = METHODS.iter().filter(wanted).collect();
    if methods.is_empty() {
        return Err("no method has such a name (see --list)".into());
    }
    if list {
        return Ok(Wish::Show(methods.iter().map(|method| method.full_name() + "\n").collect()));
    }
    Ok(Wish::Bench(Arguments { rounds, methods }))
}

fn main() -> ExitCode {
    let done = match understand(std::env::args().skip(1)) {
        Ok(Wish::Show(text)) => {
            print!("{text}");
            Ok(true)
        }
        Ok(Wish::Child(method)) => match &method.way {
            Way::Here(run) => run(&this_run()).map(|()| true),
            Way::Script { .. } => Err("a script is no child".into()),
        },
        Ok(Wish::Bench(arguments)) => bench(&arguments),
        Err(error) => Err(error),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything and prints it; whether all went well.
fn bench(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let engine = engine::Engine::connect()?;
        let before = engine.facts().await?;
        let outcomes = rounds::run(&engine, &arguments.methods, arguments.rounds).await?;
        print!("{}", table::render(&outcomes));
        println!("\n{before}load average: {} before, {} after", before.load, engine::load());
        Ok(!outcomes.iter().any(rounds::Outcome::has_failed))
    })
}
