//! Sections of a job's log in GitLab, which can be folded (<https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections>).

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::terminal;

/// An open section.
pub(super) struct Section {
    name: String,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Section {
    /// Opens a section, whose number makes its name unique. Sections may be folded from the start, and what failed is not.
    pub(super) fn open(to: &mut impl Write, number: usize, title: &str) -> io::Result<Self> {
        let name = format!("bowline_{number}");
        let title = terminal::plain(title).replace('\n', " ");
        writeln!(to, "\x1b[0Ksection_start:{}:{name}\r\x1b[0K{title}", now())?;
        Ok(Self { name })
    }

    pub(super) fn close(self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "\x1b[0Ksection_end:{}:{}\r\x1b[0K", now(), self.name)
    }
}
