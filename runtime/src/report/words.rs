//! Times and commands, as people read them.

use std::time::Duration;

use crate::error::{show_duration, shown_command};
#[cfg(any(feature = "otel", feature = "tracing"))]
use crate::event::Outcome;

/// A time as people say it: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 2 min`.
pub(crate) fn time(time: Duration) -> String {
    match time.as_secs() {
        0..60 => show_duration(time),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A result, as OpenTelemetry's conventions call it (`cicd.pipeline.task.run.result`).
#[cfg(any(feature = "otel", feature = "tracing"))]
pub(super) fn result(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "success",
        Outcome::Failed { .. } => "failure",
        Outcome::Skipped { .. } => "skip",
        Outcome::Cancelled => "cancellation",
    }
}

/// The first line of a text.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A command as it is written: of one that a shell runs, what the shell is given.
pub(super) fn command(args: &[String]) -> String {
    match args {
        [shell, option, script] if (shell == "/bin/sh" || shell == "sh") && option == "-c" => script.clone(),
        args => shown_command(args),
    }
}

/// The start of a command, in one line.
pub(super) fn short(command: &str) -> String {
    const MOST: usize = 120;
    let line = first_line(command.trim_start());
    let cut: String = line.chars().take(MOST).collect();
    if cut.len() < command.trim().len() { format!("{cut}…") } else { cut }
}
