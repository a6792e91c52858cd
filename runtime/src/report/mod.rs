//! How the events of a session are shown to people. Nothing here knows a session.
//!
//! Standard output belongs to the program: everything here goes to standard error, through [`terminal::clean`]. What is shown
//! is one for all sessions of a process, as they share a screen.
//!
//! [`terminal::clean`]: crate::terminal::clean

mod choice;
mod file;
mod github;
mod gitlab;
mod held;
mod html;
mod json;
#[cfg(feature = "junit")]
mod junit;
mod log;
#[cfg(feature = "otel")]
mod otel;
mod outcome;
mod output;
mod plain;
mod record;
mod repository;
mod state;
mod stderr;
mod test;
mod ticker;
mod trace;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(unix)]
mod tree;
mod words;

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

#[cfg(not(feature = "cli"))]
use self::choice::Progress;
use self::choice::{Choice, Place};
#[cfg(feature = "cli")]
pub(crate) use self::choice::{Progress, Wish, wish};
pub use self::file::Report;
#[cfg(feature = "otel")]
pub use self::otel::otel;
#[cfg(all(feature = "otel", feature = "cli"))]
pub(crate) use self::otel::otel_if_asked;
pub(crate) use self::stderr::say;
pub(crate) use self::test::TestReport;
#[cfg(feature = "tracing")]
pub use self::tracing::trace;
#[cfg(feature = "cli")]
pub(crate) use self::words::time as in_words;
use crate::Error;
use crate::event::DirectObserver;

/// Whether this process runs tests: a test runner shows what they print, and nothing else is to be shown.
static TESTS: AtomicBool = AtomicBool::new(false);

/// From here on this process runs tests.
pub(crate) fn begin_tests() {
    TESTS.store(true, Ordering::Relaxed);
}

/// What shows the events of this process to people.
enum Display {
    Nothing,
    Log(Arc<log::Log>),
    Plain(Arc<plain::Plain>),
    Json(Arc<json::Json>),
    #[cfg(unix)]
    Tree(Arc<tree::Tree>),
}

static DISPLAY: OnceLock<Result<Display, String>> = OnceLock::new();

fn display() -> &'static Result<Display, String> {
    DISPLAY.get_or_init(|| {
        let Choice { progress, is_coloured } = choice::choose(place(), |name| std::env::var_os(name))?;
        let display = match progress {
            Progress::Quiet | Progress::Auto => Display::Nothing,
            Progress::Json => Display::Json(Arc::new(json::Json)),
            Progress::Log => Display::Log(Arc::new(log::Log::new(is_coloured))),
            #[cfg(unix)]
            Progress::Tty => Display::Tree(tree::Tree::start(is_coloured)),
            #[cfg(not(unix))]
            Progress::Tty => Display::Plain(plain::Plain::start(is_coloured)),
            Progress::Plain => Display::Plain(plain::Plain::start(is_coloured)),
        };
        #[cfg(unix)]
        at_exit();
        Ok(display)
    })
}

/// The observer that shows events to people, if anything is to be shown.
///
/// # Errors
/// When the environment asks for something that there is not.
pub(crate) fn from_environment() -> Result<Option<Arc<dyn DirectObserver>>, Error> {
    Ok(match display().as_ref().map_err(|message| Error::invalid(None, message))? {
        Display::Nothing => None,
        Display::Log(log) => Some(log.clone()),
        Display::Plain(plain) => Some(plain.clone()),
        Display::Json(json) => Some(json.clone()),
        #[cfg(unix)]
        Display::Tree(tree) => Some(tree.clone()),
    })
}

/// Says what goes on at this moment.
pub(crate) fn tell_all() {
    match DISPLAY.get() {
        Some(Ok(Display::Plain(plain))) => plain.tell_all(),
        #[cfg(unix)]
        Some(Ok(Display::Tree(tree))) => tree.tell_all(),
        _ => {}
    }
}

/// Shows what has failed so far, and has not been shown yet.
#[cfg(feature = "cli")]
pub(crate) fn settle() {
    #[cfg(unix)]
    if let Some(Ok(Display::Tree(tree))) = DISPLAY.get() {
        tree.settle();
    }
}

/// An error for whoever reads standard error: without the output that has been shown there, whole, when the item failed.
#[cfg(feature = "cli")]
pub(crate) fn of_error(error: &Error) -> String {
    let has_shown = |writer| match DISPLAY.get() {
        Some(Ok(Display::Plain(plain))) => plain.has_shown(writer),
        #[cfg(unix)]
        Some(Ok(Display::Tree(tree))) => tree.has_shown(writer),
        _ => false,
    };
    if error.writer().is_some_and(has_shown) { error.without_output() } else { error.to_string() }
}

/// What a failed test prints of its services; `None` if the environment asks for something else.
pub(crate) fn of_test() -> Option<Arc<TestReport>> {
    choice::is_left_open().then(Arc::default)
}

/// While this exists, the key `t` asks what goes on, as long as the tree is drawn.
#[cfg(all(feature = "cli", unix))]
#[derive(Debug)]
pub(crate) struct Listening(tree::Listening);

/// Listens to the keys of a program that does not read standard input itself.
#[cfg(all(feature = "cli", unix))]
pub(crate) fn listen() -> Option<Listening> {
    match DISPLAY.get() {
        Some(Ok(Display::Tree(_))) => tree::listen().map(Listening),
        _ => None,
    }
}

#[cfg(all(feature = "cli", not(unix)))]
pub(crate) fn listen() {}

/// Nothing is shown until this is dropped.
#[derive(Debug)]
pub(crate) struct Pause(#[expect(dead_code, reason = "it is there to be dropped")] held::Pause);

/// Keeps everything off the terminal.
pub(crate) fn pause() -> Pause {
    #[cfg(unix)]
    if let Some(Ok(Display::Tree(tree))) = DISPLAY.get() {
        tree.pause();
    }
    Pause(held::pause())
}

impl Drop for Pause {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(Ok(Display::Tree(tree))) = DISPLAY.get() {
            tree.resume();
        }
    }
}

fn place() -> Place {
    if TESTS.load(Ordering::Relaxed) || is_test_binary() {
        Place::Tests
    } else if io::stderr().is_terminal() {
        Place::Terminal
    } else {
        Place::Elsewhere
    }
}

/// Whether cargo has built this program as a test: those are in `deps`, and their names end in `-` and 16 hexadecimal digits.
fn is_test_binary() -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let is_in_deps =
        program.parent().and_then(|parent| parent.file_name()).is_some_and(|name| name == "deps");
    let hash = program.file_stem().and_then(|name| name.to_str()?.rsplit_once('-')).map(|(_, hash)| hash);
    is_in_deps
        && hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A program may end without closing its session.
#[cfg(unix)]
#[allow(unsafe_code)]
fn at_exit() {
    extern "C" fn finish() {
        match DISPLAY.get() {
            Some(Ok(Display::Plain(plain))) => plain.finish(),
            Some(Ok(Display::Tree(tree))) => tree.finish(),
            _ => {}
        }
    }
    // SAFETY: a plain call; the function is there as long as the program.
    unsafe { libc::atexit(finish) };
}
