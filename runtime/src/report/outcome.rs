//! What is said of something that has ended.

use super::state::{Ended, How, Kind};
use super::words;
use crate::event::{Transfer, Verb};

/// The lines that say how something ended: the first for what happened, further ones for where and why.
pub(super) fn ended(ended: &Ended) -> Vec<String> {
    let took = words::time(ended.took);
    let command =
        ended.command.as_ref().map(|command| format!(": {}", words::short(command))).unwrap_or_default();
    let head = match &ended.how {
        How::Done => match ended.transfer {
            Some(transfer) if ended.kind == Kind::Transfer => {
                format!("{} {} in {took}", past(transfer.verb), ended.name)
            }
            _ => format!("done {took}{command}"),
        },
        How::Replayed => format!("run again {took}{command}"),
        How::Cached => "cached".to_owned(),
        How::Cancelled => format!("cancelled after {took}{command}"),
        How::Skipped { error } => format!("skipped: {}", words::first_line(error)),
        How::Failed { error } => return failed(ended, &took, error),
    };
    vec![head]
}

fn failed(ended: &Ended, took: &str, error: &str) -> Vec<String> {
    // An error of a step or a service has its last lines in it, and here all of them follow.
    let has_output = matches!(ended.kind, Kind::Step | Kind::Service);
    let mut lines = vec![format!("failed {took}: {}", words::first_line(error))];
    if has_output {
        lines.extend(ended.locations.iter().map(|location| format!("  --> {location}")));
    } else {
        lines.extend(error.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    lines
}

fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::Pulling => "pulled",
        Verb::Loading => "loaded",
        Verb::Unpacking => "unpacked",
        Verb::Packing => "packed",
        Verb::Pushing => "pushed",
        Verb::Exporting => "exported",
        Verb::Hashing => "read",
        Verb::Sending => "sent",
        Verb::Storing => "stored results in",
    }
}

/// The name that is shown before it.
pub(super) fn name(ended: &Ended) -> &str {
    match ended.transfer {
        Some(Transfer { verb: Verb::Sending | Verb::Hashing, .. }) if ended.how == How::Done => "files",
        Some(Transfer { verb: Verb::Storing, .. }) if ended.how == How::Done => "cache",
        Some(_) if ended.how == How::Done => "image",
        _ => &ended.name,
    }
}
