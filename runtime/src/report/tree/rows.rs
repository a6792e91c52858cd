//! The rows of the tree: a head, what goes on with its last lines, and what has ended lately.

use std::collections::VecDeque;
use std::time::Duration;

use crate::report::state::{Ended, How, Kind, LAST_LINES, Phase, State, Work};
use crate::report::{outcome, words};
use crate::terminal;

/// How many of those that have ended are remembered: more than any screen shows.
pub(super) const MOST_PAST: usize = 100;
/// How wide names are, if there is room.
const NAME: usize = 24;
/// What a step runs is shown once it has run for so long.
const SLOW: Duration = Duration::from_secs(1);

/// Something that has ended, as it is shown.
#[derive(Debug, Clone)]
pub(super) struct Past {
    name: String,
    how: How,
    took: Duration,
    /// Whether the name says how long it took.
    is_moved: bool,
}

impl Past {
    pub(super) fn of(ended: &Ended) -> Self {
        let is_moved = ended.kind == Kind::Transfer && ended.how == How::Done;
        let name = if is_moved { outcome::ended(ended).concat() } else { ended.name.to_string() };
        Self { name, how: ended.how.clone(), took: ended.took, is_moved }
    }

    fn row(&self) -> Row {
        let time = words::time(self.took);
        let (mark, text) = match &self.how {
            How::Done if self.is_moved => (Mark::Done, String::new()),
            How::Done | How::Replayed => (Mark::Done, time),
            How::Cached => (Mark::Done, "cached".to_owned()),
            How::Failed { .. } => (Mark::Failed, format!("failed {time}")),
            How::Skipped { .. } => (Mark::Skipped, "skipped".to_owned()),
            How::Cancelled => (Mark::Skipped, "cancelled".to_owned()),
        };
        Row { mark, name: self.name.clone(), text }
    }
}

#[derive(Debug, Clone, Copy)]
enum Mark {
    Going,
    Done,
    Failed,
    Skipped,
}

struct Row {
    mark: Mark,
    name: String,
    text: String,
}

/// The rows for a screen of this size. They take at most two thirds of it, and one column less than it has: in the last one
/// terminals disagree about where the cursor is.
pub(super) fn rows(
    state: &State,
    past: &VecDeque<Past>,
    frame: usize,
    columns: usize,
    screen: usize,
    is_coloured: bool,
) -> Vec<String> {
    let (columns, room) = (columns.saturating_sub(1), screen * 2 / 3);
    if room == 0 || columns == 0 {
        return Vec::new();
    }
    let paint = Paint { columns, is_coloured, frame };
    let mut room = room - 1;
    let going: Vec<&Work> = state.works.values().filter(|work| work.is_going_on()).collect();
    let ready: Vec<&Work> = state.works.values().filter(|work| work.phase == Phase::Ready).collect();
    let mut rows = vec![paint.head(state, going.len())];

    let shown = going.len().min(room);
    let left_out = going.len() - shown;
    let shown = if left_out > 0 { shown.saturating_sub(1) } else { shown };
    room = room.saturating_sub(if left_out > 0 { shown + 1 } else { shown });
    // Every one that goes on has a row before any of them has lines.
    let detail = |work: &Work, room: &mut usize| -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(command), true) = (&work.command, work.time() >= SLOW) {
            lines.push(paint.faint(&format!("  {}", words::short(command))));
        }
        if let Phase::Starting(findings) = &work.phase {
            lines.extend(findings.iter().map(|(probe, found)| paint.faint(&format!("  {probe}: {found}"))));
        }
        let last = work.output.last_lines(LAST_LINES);
        lines.extend(last.iter().map(|line| paint.output(line)));
        lines.truncate(*room);
        *room -= lines.len();
        lines
    };
    let mut below: Vec<Vec<String>> = Vec::new();
    // What began last tells most: it gets its lines first.
    for work in going.iter().take(shown).rev() {
        below.push(detail(work, &mut room));
    }
    for (work, below) in going.iter().zip(below.into_iter().rev()) {
        rows.push(paint.row(&Row { mark: Mark::Going, name: work.name.to_string(), text: doing(work) }));
        rows.extend(below);
    }
    if left_out > 0 && shown + 1 < screen * 2 / 3 {
        rows.push(paint.faint(&format!("  … and {} more", left_out + 1)));
    }
    for work in ready.iter().take(room.min(ready.len())) {
        rows.push(paint.row(&Row {
            mark: Mark::Done,
            name: work.name.to_string(),
            text: "ready".to_owned(),
        }));
        room -= 1;
    }
    let skipped = past.len().saturating_sub(room);
    rows.extend(past.iter().skip(skipped).map(|past| paint.row(&past.row())));
    rows
}

fn doing(work: &Work) -> String {
    let time = words::time(work.time());
    match &work.phase {
        Phase::Running => time,
        Phase::Preparing | Phase::Waiting(_) | Phase::Ready | Phase::Transferring(_) => work.doing(),
        Phase::Starting(_) => format!("starting {time}"),
        Phase::Stopping => format!("stopping {time}"),
    }
}

/// How a row becomes what a terminal shows.
#[derive(Clone, Copy)]
struct Paint {
    columns: usize,
    is_coloured: bool,
    frame: usize,
}

impl Paint {
    fn head(self, state: &State, going: usize) -> String {
        let waiting = state.works.values().filter(|work| matches!(work.phase, Phase::Waiting(_))).count();
        let sum = &state.sum;
        let counts = [
            (going, "running"),
            (waiting, "waiting"),
            (sum.done, "done"),
            (sum.cached, "cached"),
            (sum.failed, "failed"),
            (sum.skipped, "skipped"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let text = format!("bowline {}: {}", words::time(sum.elapsed()), counts.join(", "));
        self.styled("1", &terminal::fit(&text, self.columns))
    }

    fn row(self, row: &Row) -> String {
        const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let (mark, colour) = match row.mark {
            Mark::Going => (SPINNER.get(self.frame % SPINNER.len()).copied().unwrap_or_default(), "36"),
            Mark::Done => ("✓", "32"),
            Mark::Failed => ("✗", "31"),
            Mark::Skipped => ("-", "33"),
        };
        let name = terminal::plain(&row.name).replace('\n', " ");
        let text = terminal::plain(&row.text).replace('\n', " ");
        let width = NAME.min(self.columns / 2);
        let line = terminal::fit(&format!("{name:<width$} {text}"), self.columns.saturating_sub(2));
        format!("{} {line}", self.styled(colour, mark))
    }

    fn faint(self, text: &str) -> String {
        let text = terminal::plain(text).replace('\n', " ");
        self.styled("2", &terminal::fit(&text, self.columns))
    }

    /// A line of output, which may have colours of its own.
    fn output(self, line: &str) -> String {
        if self.is_coloured {
            self.styled("2", &terminal::fit(&format!("  | {line}"), self.columns))
        } else {
            self.faint(&format!("  | {line}"))
        }
    }

    fn styled(self, style: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests;
