//! What GitHub Actions makes of lines that a step prints: groups, and annotations at lines of the source
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::state::{Ended, How, Kind};
use super::{repository, words};
use crate::model::SessionId;
use crate::terminal;

/// GitHub shows this many annotations of a step, and drops the rest.
const ANNOTATIONS: usize = 10;
/// A summary of more than this is refused as a whole; it may share the file with others.
const SUMMARY: u64 = 1 << 20;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct GitHub {
    annotations: usize,
    /// The rows of the summary's table.
    rows: Vec<String>,
    has_failed: bool,
}

impl GitHub {
    /// Writes what belongs to an item that failed: an annotation at its line.
    pub(super) fn annotate(
        &mut self,
        to: &mut impl Write,
        name: &str,
        ended: &Ended,
        error: &str,
    ) -> io::Result<()> {
        self.annotations += 1;
        if self.annotations > ANNOTATIONS {
            return Ok(());
        }
        let mut properties = String::new();
        if let Some(location) = ended.locations.first() {
            let file = property(&repository::path(location.file()));
            let _ = write!(properties, "file={file},line={},col={},", location.line(), location.column());
        }
        let _ = write!(properties, "title={}", property(&format!("{name} failed")));
        writeln!(to, "::error {properties}::{}", message(error))
    }

    /// Opens a group. Nothing in it is a command to GitHub, whatever a container has written.
    pub(super) fn open(to: &mut impl Write, title: &str) -> io::Result<Group> {
        let token = SessionId::random();
        writeln!(to, "::group::{}", message(title))?;
        writeln!(to, "::stop-commands::{}", token.as_str())?;
        Ok(Group { token })
    }

    /// Remembers what has ended for the summary.
    pub(super) fn add(&mut self, ended: &Ended) {
        let time = words::time(ended.took);
        let result = match &ended.how {
            How::Done if ended.kind == Kind::Transfer => return,
            How::Done => format!("done {time}"),
            How::Replayed => format!("run again {time}"),
            How::Cached => "cached".to_owned(),
            How::Failed { error } => {
                self.has_failed = true;
                format!("**failed** {time}: {}", cell(words::first_line(error)))
            }
            How::Skipped { .. } => "skipped".to_owned(),
            How::Cancelled => "cancelled".to_owned(),
        };
        self.rows.push(format!(
            "| {} | {} | {result} |\n",
            cell(&ended.name),
            cell(&ended.command.as_deref().map(words::short).unwrap_or_default())
        ));
    }

    pub(super) fn add_ready(&mut self, name: &str, after: &str) {
        self.rows.push(format!("| {} | | ready after {after} |\n", cell(name)));
    }

    /// Appends a table of everything to the summary of the job's step.
    pub(super) fn summarize(&mut self, path: &Path, words: &str) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut file = File::options().append(true).create(true).open(path)?;
        // Room for the line that says what is missing.
        let room = SUMMARY.saturating_sub(file.metadata()?.len()).saturating_sub(1024);
        let mark = if std::mem::take(&mut self.has_failed) { "❌" } else { "✅" };
        let mut text =
            format!("### {mark} bowline: {words}\n\n| item | command | result |\n| --- | --- | --- |\n");
        let mut left_out = 0;
        for row in rows {
            if (text.len() + row.len()) as u64 > room {
                left_out += 1;
            } else {
                text.push_str(&row);
            }
        }
        if left_out > 0 {
            let _ = write!(text, "\n… and {left_out} more\n");
        }
        text.push('\n');
        file.write_all(text.as_bytes())
    }
}

/// An open group.
pub(super) struct Group {
    token: SessionId,
}

impl Group {
    pub(super) fn close(self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "::{}::\n::endgroup::", self.token.as_str())
    }
}

/// A line in which GitHub finds no command, as it looks for those of its older form within lines too.
pub(super) fn inert(line: &str) -> Cow<'_, str> {
    if line.contains("##[") { line.replace("##[", "# #[").into() } else { line.into() }
}

/// The text of a command.
fn message(text: &str) -> String {
    let text = terminal::plain(text);
    inert(&text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of one of a command's properties.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

/// The contents of a cell of a table, in which nothing is Markdown or HTML.
fn cell(text: &str) -> String {
    const MOST: usize = 200;
    let text = terminal::plain(text);
    let mut cell = String::new();
    for (index, letter) in text.chars().enumerate() {
        match letter {
            _ if index == MOST => {
                cell.push('…');
                break;
            }
            '\n' | '\r' | '\t' => cell.push(' '),
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            '&' => cell.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' | '@' | '$' => {
                let _ = write!(cell, "&#{};", u32::from(letter));
            }
            _ => cell.push(letter),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::Location;
    use crate::report::output::Kept;

    fn failed(name: &str, error: &str) -> Ended {
        Ended {
            kind: Kind::Step,
            name: name.into(),
            command: Some("a | b".to_owned()),
            locations: Arc::new([Location::caller()]),
            how: How::Failed { error: error.into() },
            took: Duration::from_millis(1200),
            transfer: None,
            output: Kept::default(),
        }
    }

    #[test]
    fn ten_annotations_point_at_the_source() {
        let mut github = GitHub::default();
        let mut said = Vec::new();
        for _ in 0..12 {
            github.annotate(&mut said, "a,b", &failed("a,b", ""), "step failed: 100 %\n::error::no").unwrap();
        }
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.lines().count(), ANNOTATIONS);
        let first = said.lines().next().unwrap();
        let file = file!().replace(':', "%3A");
        assert!(first.starts_with(&format!("::error file={file},line=")), "{first}");
        assert!(first.ends_with(",title=a%2Cb failed::step failed: 100 %25%0A::error::no"), "{first}");
    }

    #[test]
    fn nothing_in_a_group_is_a_command() {
        let mut said = Vec::new();
        let group = GitHub::open(&mut said, "test failed\n::error::x").unwrap();
        said.extend(b"::add-mask::x\n");
        group.close(&mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let token = lines[1].strip_prefix("::stop-commands::").unwrap();
        assert!(token.len() > 20 && !lines[2].contains(token));
        assert_eq!(lines[0], "::group::test failed%0A::error::x");
        assert_eq!(lines[3..], [format!("::{token}::").as_str(), "::endgroup::"]);
        assert_eq!(inert("x ##[error]y"), "x # #[error]y");
    }

    #[test]
    fn the_summary_is_a_table_that_no_name_breaks_and_stays_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.md");
        let mut github = GitHub::default();
        github.add(&failed("<b>a|b</b>", "`x` failed\nmore"));
        github.add_ready("db", "20 ms");
        github.summarize(&path, "1 failed").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "### ❌ bowline: 1 failed\n\n| item | command | result |\n| --- | --- | --- |\n\
             | &lt;b&gt;a&#124;b&lt;/b&gt; | a &#124; b | **failed** 1.2 s: &#96;x&#96; failed |\n\
             | db | | ready after 20 ms |\n\n"
        );
        (0..20_000).for_each(|_| github.add_ready(&"x".repeat(100), "1 s"));
        github.summarize(&path, "nothing to run").unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length > SUMMARY / 2 && length <= SUMMARY, "{length}");
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("more\n\n"));
    }
}
