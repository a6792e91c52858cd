//! The procedural macros of the `bowline` crate. Use them through it: `bowline::pipeline!`, `#[bowline::main]` and
//! `#[bowline::test]`, where they are documented.
//!
//! The stages of a pipeline: `parse` makes a tree (`ast`) and recovers from mistakes, `names` resolves names, `check`
//! checks literals and names, and `expand` writes the builder calls; `driver` calls them in order.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

// Shared with the runtime, which uses the rest of them.
#[allow(dead_code)]
mod arguments;
mod ast;
mod check;
mod cli;
mod counterparts;
mod driver;
mod entry;
mod errors;
mod expand;
mod flag;
#[allow(dead_code)]
mod flags;
mod ide;
mod keywords;
mod names;
mod parse;
#[allow(dead_code)]
mod paths;
mod registry;
#[allow(dead_code)]
mod rules;
mod sizes;
mod spelling;

use proc_macro::TokenStream;

use expand::Target;

/// Called by `bowline::pipeline!` with the path of the runtime crate, `;`, and the pipeline.
#[doc(hidden)]
#[proc_macro]
pub fn __pipeline(input: TokenStream) -> TokenStream {
    driver::pipeline(input.into(), Target::Rustc).into()
}

/// The same for rust-analyzer: the runtime crate calls this one instead if `cfg(rust_analyzer)` is set.
#[doc(hidden)]
#[proc_macro]
pub fn __pipeline_ide(input: TokenStream) -> TokenStream {
    driver::pipeline(input.into(), Target::Editor).into()
}

/// Makes the `main` of a pipeline with a command line: called by what `bowline::cli!` calls, with the path of the runtime
/// crate, the path of the pipeline's function, and that function's signature.
#[doc(hidden)]
#[proc_macro]
pub fn __cli(input: TokenStream) -> TokenStream {
    cli::main(input.into()).into()
}

/// Runs an async `main` with a session: `#[bowline::main]`.
///
/// Takes `crate = path` if the runtime crate has another name.
#[proc_macro_attribute]
pub fn main(options: TokenStream, function: TokenStream) -> TokenStream {
    entry::main(&options.into(), &function.into()).into()
}

/// Runs an async test with a session: `#[bowline::test]`.
///
/// There are three ways for tests to have services:
///
/// - **A session for each test**, which is the default: every test has instances of its own, so tests run side by side and
///   see nothing of each other. It costs one start of each service a test. If a start is slow because a database is set up,
///   `Service::prepared` (or a container that sets it up, and `from` that) does this once, and each test starts from a
///   copy.
/// - **A session for the tests of one binary**: `#[bowline::test(shared)]`. Equal services are started once for all tests
///   that run in the process, and stopped when it ends. Tests see what others do to them. With a runner that has a process
///   for each test, such as nextest, this is the same as the first way.
/// - **A service for all processes of a user**: `shared;` in the service, or `Service::shared`. The first test that needs it
///   starts it, in a process in the background, and others use it, in whichever binary, run or session they are: so there
///   is one start, and after that a few milliseconds a test. It is stopped once nobody has used it for as long as it
///   lingers (`linger "5m";` keeps it from one run of the tests to the next). Tests see what others do to it, and what
///   earlier runs did: let each use a database or a key of its own. A migration by a container that binds it runs once.
///   Services that do not say so are still the session's own, and the two mix.
///
/// While a test passes nothing is printed. If it fails, the last lines of its services are, by the test's own thread, so
/// that test runners show them with the test. `BOWLINE_PROGRESS=log` shows everything as it happens instead.
///
/// Takes `crate = path` if the runtime crate has another name. Other attributes, such as `#[should_panic]` and
/// `#[ignore]`, keep their meaning.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    entry::test(&options.into(), &function.into()).into()
}
