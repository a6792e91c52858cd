//! Every pipeline as a program with a command line. Behind the feature `cli`.
//!
//! ```no_run
//! use bowline::prelude::*;
//!
//! pipeline! {
//!     /// Tests of the store.
//!     fn ci(
//!         /// The store's version
//!         #[flag(default = "7")]
//!         version: &str,
//!         /// Who asks
//!         who: Option<String>,
//!     ) -> Ci;
//!
//!     service redis { image format!("redis:{version}"); expose 6379; }
//!     /// Asks the store whether it is there.
//!     container ping {
//!         image "redis:7";
//!         bind redis;
//!         if let Some(who) = who { env WHO = who; }
//!         exec ["redis-cli", "-h", "redis", "ping"];
//!     }
//! }
//!
//! bowline::cli!(ci);
//! ```
//!
//! `cargo run` then runs the whole pipeline, `cargo run -- run ping --version 6` one item of it, `cargo run -- list` says
//! what there is, and `cargo run -- --help` what else it can do.
//!
//! # Parameters
//!
//! [`cli!`](crate::cli!) takes the path of a pipeline in [item form](crate::pipeline#as-a-function), a sync or an async
//! function of this crate, and makes `main`. The function's parameters are flags, and their doc comments are what `--help`
//! says of them:
//!
//! | parameter | flag |
//! | --- | --- |
//! | `version: &str`, `clients: usize`, any `T: FromStr` | has to be given |
//! | `#[flag(default = "7")] version: &str` | may be left away |
//! | `who: Option<T>` | may be left away |
//! | `tag: Vec<T>` | may be given several times |
//! | `publish: bool` | a switch: `--publish` |
//!
//! `#[flag(short = 'n')]` gives a flag a letter, and `#[flag(value = "N")]` says what help shows for the value. Any other
//! type is a compile error at the type. Pipelines that have no command line may take whatever they like.
//!
//! # Globs
//!
//! `run`, `plan` and `up` take names of items, or globs of them (`test-*`). An item of a `for` is named by its number
//! (`ping.0`, `ping.1`), unless it says a name (`name format!("ping-{version}");`); `ping` means all of them.
//!
//! # What was
//!
//! The events of a program's last ten runs are kept in `$BOWLINE_HOME/runs`: `runs` lists them, `logs` prints what an item
//! wrote, and `report` writes a [`Report`](crate::Report) that nobody asked for in time. The variable `BOWLINE_RUNS` is
//! another number of runs, or `off`. A run takes at most 64 MiB, and then misses lines of output, whose number is kept; all
//! runs of all programs take about 1 GiB. Secrets are replaced, as in output.
//!
//! # Exit codes
//!
//! They are the constants of [`exit`].
//!
//! # Without the macro
//!
//! [`Cli`] is what the macro expands to, for programs that make their items otherwise.

// Commands are called alike, whether they wait for something or not.
#![allow(clippy::unused_async)]

mod completions;
mod doctor;
pub mod exit;
mod explain;
mod export;
mod failure;
mod flag;
mod given;
mod graph;
mod kept;
mod list;
mod lock;
mod logs;
mod man;
mod memory;
mod node;
mod options;
mod place;
mod plan;
mod print;
mod prune;
mod publish;
mod report;
mod run;
mod runs;
mod select;
mod svg;
mod terminal;
mod unkept;
mod up;
mod usage;
mod why;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use self::failure::Failure;
#[doc(hidden)]
pub use self::flag::Reader;
pub use self::flag::{Flag, Flags};
use self::given::Given;
use self::kept::Keeper;
use self::memory::Memory;
use self::options::Needs;
use crate::event::DirectObserver;
use crate::run::entry;
use crate::session::{Session, Settings, check_environment};
use crate::value::Item;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Evaluate = Box<dyn FnOnce(Flags) -> Pin<Box<dyn Future<Output = Result<Vec<Item>, BoxError>>>>>;

/// A program with the command line of a pipeline.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use bowline::cli::{Cli, Flag};
/// use bowline::prelude::*;
///
/// fn main() -> ExitCode {
///     let cli = Cli::new(async |flags| {
///         let version: String = flags.get("version")?;
///         let p = pipeline! {
///             service redis { image format!("redis:{version}"); expose 6379; }
///             container ping { image "redis:7"; bind redis; exec ["redis-cli", "-h", "redis", "ping"]; }
///         };
///         Ok::<_, Error>(p.items())
///     });
///     cli.about("Tests of the store").flag(Flag::new("version").default(7).help("The store's version")).main()
/// }
/// ```
#[must_use = "a command line does nothing until its `main` is called"]
pub struct Cli {
    about: String,
    flags: Vec<Flag>,
    evaluate: Evaluate,
}

impl Cli {
    /// The command line of the items that a function makes of the flags. It is called once, and not for `--help` and other
    /// commands that need no items.
    pub fn new<F, E>(evaluate: F) -> Self
    where
        F: AsyncFnOnce(Flags) -> Result<Vec<Item>, E> + 'static,
        E: Into<BoxError>,
    {
        let evaluate: Evaluate =
            Box::new(|flags| Box::pin(async move { evaluate(flags).await.map_err(Into::into) }));
        Self { about: String::new(), flags: Vec::new(), evaluate }
    }

    /// What the program is for: the first line of its `--help`.
    pub fn about(self, text: impl Into<String>) -> Self {
        Self { about: text.into(), ..self }
    }

    /// Declares a flag of the pipeline.
    pub fn flag(mut self, flag: Flag) -> Self {
        self.flags.push(flag);
        self
    }

    /// Does what the command line of this process says: the whole of a program's `main`.
    #[must_use = "it says how the program ends"]
    pub fn main(self) -> ExitCode {
        let code = match self.run(std::env::args_os().collect()) {
            Ok(()) => exit::SUCCESS,
            Err(failure) => {
                failure.show();
                failure.code()
            }
        };
        ExitCode::from(code)
    }

    fn run(self, args: Vec<OsString>) -> Result<(), Failure> {
        flag::check(&self.flags)?;
        let Self { about, flags, evaluate } = self;
        let mut command = command(&program(args.first()), &about, &flags);
        let matches = command.clone().try_get_matches_from(args).map_err(Failure::Usage)?;
        let (name, own) = matches.subcommand().unwrap_or((run::NAME, &matches));
        let given = Given { before: &matches, own };
        let Some(subcommand) = SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name) else {
            return Err(crate::Error::internal(format_args!("no subcommand {name}")).into());
        };
        if let Some(id) = given.misplaced() {
            return Err(Failure::Usage(misplaced(&mut command, id, name)));
        }
        if subcommand.needs == Needs::Engine {
            crate::report::wish(options::wish(&given));
            options::report(&given)?;
            #[cfg(feature = "otel")]
            crate::report::otel_if_asked();
        }
        let direct = match subcommand.needs {
            Needs::Engine => environment(&given).map_err(Failure::Environment)?,
            Needs::Nothing | Needs::Items => None,
        };
        // What only asks is no run.
        let keeper = match subcommand.needs {
            Needs::Engine if name != explain::NAME && name != lock::NAME => {
                Some(Keeper::start(asked_for(&command, name, given.own), kept::wanted()?)?)
            }
            _ => None,
        };
        let memory = Memory::of_program();
        let settings = match subcommand.needs {
            Needs::Engine => Settings { recorder: Some(memory.clone()), ..options::settings(&given) },
            Needs::Nothing | Needs::Items => Settings::default(),
        };
        let given_flags = match subcommand.needs {
            Needs::Nothing => Flags::default(),
            Needs::Items | Needs::Engine => Flags::of(&flags, &given).map_err(|missing| {
                let mut error = clap::Error::new(ErrorKind::MissingRequiredArgument).with_cmd(&command);
                error.insert(ContextKind::InvalidArg, ContextValue::Strings(missing));
                Failure::Usage(error)
            })?,
        };
        let session = Session::with(Ok(direct), settings);
        let done = entry::main_in(&session, async {
            let items = match subcommand.needs {
                Needs::Nothing => Vec::new(),
                Needs::Items | Needs::Engine => evaluate(given_flags).await?,
            };
            let call = Call { command: &command, items: &items, given };
            (subcommand.run)(call).await
        });
        memory.keep();
        if let Some(keeper) = keeper {
            keeper.finish(done.as_ref().map_or_else(Failure::code, |()| exit::SUCCESS));
        }
        done
    }
}

impl fmt::Debug for Cli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cli").field("about", &self.about).field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// One call of the program.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// The whole command line.
    command: &'a Command,
    items: &'a [Item],
    given: Given<'a>,
}

impl Call<'_> {
    /// Whether the command that is called has such an argument: the program without a subcommand has no globs.
    fn has(&self, id: &str) -> bool {
        self.given.own.try_contains_id(id).is_ok()
    }
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// A subcommand, each in a file of its own.
struct Subcommand {
    name: &'static str,
    needs: Needs,
    /// Adds what it is for, and its own arguments.
    describe: fn(Command) -> Command,
    run: for<'a> fn(Call<'a>) -> Work<'a>,
}

macro_rules! subcommands {
    ($($module:ident),*) => {
        /// In the order of `--help`.
        static SUBCOMMANDS: &[Subcommand] = &[$(Subcommand {
            name: $module::NAME,
            needs: $module::NEEDS,
            describe: $module::describe,
            run: |call| Box::pin($module::run(call)),
        }),*];
    };
}
subcommands!(
    run,
    list,
    plan,
    graph,
    explain,
    up,
    runs,
    logs,
    report,
    terminal,
    export,
    publish,
    lock,
    usage,
    prune,
    doctor,
    completions,
    man
);

/// Who shows what happens; an error if a variable of the environment means nothing, and no flag stands in its place.
fn environment(given: &Given<'_>) -> crate::Result<Option<Arc<dyn DirectObserver>>> {
    check_environment(given.text("engine"))?;
    crate::report::from_environment()
}

/// What the program was called as.
fn program(first: Option<&OsString>) -> String {
    let name = first.and_then(|path| Path::new(path).file_name()).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The whole command line. What runs a pipeline may be said without `run` too.
fn command(program: &str, about: &str, flags: &[Flag]) -> Command {
    let mut root = Command::new(program.to_owned())
        .about(about.to_owned())
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND")
        .infer_long_args(false);
    for subcommand in SUBCOMMANDS {
        let described = (subcommand.describe)(Command::new(subcommand.name));
        root = root.subcommand(with_common(described, subcommand.needs, flags));
    }
    with_common(run::options(root), Needs::Engine, flags)
}

fn with_common(command: Command, needs: Needs, flags: &[Flag]) -> Command {
    let command = match needs {
        Needs::Nothing => return command,
        Needs::Items => command,
        Needs::Engine => options::of_engine(command),
    };
    command.args(flags.iter().map(Flag::argument))
}

/// A subcommand with what it is about. Values of flags, and what comes behind `--`, may be nobody else's business.
fn asked_for(command: &Command, name: &str, matches: &ArgMatches) -> Vec<String> {
    let described = command.find_subcommand(name).unwrap_or(command);
    let given = described.get_positionals().filter(|argument| !argument.is_last_set()).flat_map(|argument| {
        let values = matches.try_get_raw(argument.get_id().as_str()).ok().flatten().unwrap_or_default();
        values.map(|value| value.to_string_lossy().into_owned())
    });
    std::iter::once(name.to_owned()).chain(given).collect()
}

/// The error for an argument before a subcommand that does not take it.
fn misplaced(command: &mut Command, id: &str, subcommand: &str) -> clap::Error {
    let argument = command.get_arguments().find(|argument| argument.get_id() == id);
    let long = argument.and_then(clap::Arg::get_long).unwrap_or(id);
    command.error(ErrorKind::ArgumentConflict, format!("`{subcommand}` does not take `--{long}`"))
}

/// The result of evaluating a pipeline, of any error.
#[doc(hidden)]
pub fn evaluated(items: Vec<Item>) -> Result<Vec<Item>, BoxError> {
    Ok(items)
}

#[cfg(test)]
mod tests;
