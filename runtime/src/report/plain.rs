//! Where nobody looks at a terminal: a line for each item that ends, a sign of life every 30 s, all output of what
//! failed and of nothing else, and a summary. In GitHub Actions and GitLab also what they make of such lines.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::github::{self, GitHub};
use super::gitlab::Section;
use super::state::{Ended, How, News, State, Sum};
use super::ticker::Ticker;
use super::{held, log, outcome, words};
use crate::event::{DirectObserver, Event, LineBatch, Stream};
use crate::lock::lock;
use crate::terminal::Colours;

/// How often there is a sign of life, at least.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The name before what is said of everything.
const ALL: &str = "bowline";

#[derive(Debug)]
pub(super) struct Plain {
    inner: Mutex<Inner>,
    ticker: Ticker,
}

#[derive(Debug)]
struct Inner {
    state: State,
    is_coloured: bool,
    service: Option<Service>,
    /// How many sections there were, as their names are unique.
    sections: usize,
}

/// Who runs the program and reads what it says.
#[derive(Debug)]
enum Service {
    GitHub { github: GitHub, summary: Option<PathBuf> },
    GitLab,
}

impl Service {
    fn from_environment() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty() && value != "false");
        if set("GITHUB_ACTIONS").is_some() {
            let summary = set("GITHUB_STEP_SUMMARY").map(PathBuf::from);
            Some(Self::GitHub { github: GitHub::default(), summary })
        } else {
            set("GITLAB_CI").map(|_| Self::GitLab)
        }
    }
}

impl Plain {
    pub(super) fn start(is_coloured: bool) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let service = Service::from_environment();
            let inner = Inner { state: State::default(), is_coloured, service, sections: 0 };
            let ticker = Ticker::start(HEARTBEAT, this.clone(), |this: &Self| {
                let inner = lock(&this.inner);
                if !inner.state.works.is_empty() {
                    inner.say(ALL, &format!("still going on: {}", inner.state.going_on()));
                }
                !inner.state.works.is_empty()
            });
            Self { inner: Mutex::new(inner), ticker }
        })
    }

    /// Says what goes on now, with the last lines of it and what probes find.
    pub(super) fn tell_all(&self) {
        let inner = lock(&self.inner);
        for (name, line) in inner.state.details() {
            inner.say(&name, &line);
        }
    }

    /// Whether all that this wrote has been shown, as it failed.
    #[cfg(feature = "cli")]
    pub(super) fn has_shown(&self, writer: crate::error::Writer<'_>) -> bool {
        lock(&self.inner).state.has_failed(writer)
    }

    /// Says what has to be said at the end of the program, if no session has ended before.
    pub(super) fn finish(&self) {
        // Whoever has the lock at the program's end does not give it back.
        if let Ok(mut inner) = self.inner.try_lock()
            && let Some(sum) = inner.state.finish()
        {
            inner.sum_up(&sum);
        }
    }
}

impl DirectObserver for Plain {
    fn on_event(&self, event: &Event) {
        let mut inner = lock(&self.inner);
        if let Some(news) = inner.state.follow(event) {
            inner.tell(news);
        }
        if !inner.state.works.is_empty() {
            self.ticker.wake();
        }
    }

    fn on_lines(&self, event: &Event, _: Stream, lines: &LineBatch) {
        lock(&self.inner).state.keep(event, lines);
    }
}

impl Inner {
    fn say(&self, name: &str, text: &str) {
        let mut line = log::line(name, text, self.is_coloured);
        if let Some(Service::GitHub { .. }) = self.service {
            line = github::inert(&line).into_owned();
        }
        // One write a line, so that lines of several processes never mix; a closed pipe is no reason to fail.
        held::show(line.as_bytes());
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Said { name, text } => text.lines().for_each(|line| self.say(&name, line)),
            News::Ready { name, after } => {
                let after = words::time(after);
                self.say(&name, &format!("ready {after}"));
                if let Some(Service::GitHub { github, .. }) = &mut self.service {
                    github.add_ready(&name, &after);
                }
            }
            News::Ended(ended) => self.tell_end(ended),
            News::AllEnded(sum) => self.sum_up(&sum),
        }
    }

    fn tell_end(&mut self, ended: Ended) {
        let name = outcome::name(&ended).to_owned();
        let lines = outcome::ended(&ended);
        for line in &lines {
            self.say(&name, line);
        }
        if let Some(Service::GitHub { github, .. }) = &mut self.service {
            github.add(&ended);
        }
        if let How::Failed { error } = &ended.how {
            let error = error.clone();
            // Nobody who reads is no reason to fail.
            let _ = self.show_failure(&name, &error, ended);
        }
    }

    /// Shows all that it wrote, without names, so that it can be copied.
    fn show_failure(&mut self, name: &str, error: &str, ended: Ended) -> io::Result<()> {
        let mut to = io::BufWriter::new(held::Shown);
        if let Some(Service::GitHub { github, .. }) = &mut self.service {
            github.annotate(&mut to, name, &ended, words::first_line(error))?;
        }
        if ended.output.is_empty() {
            return to.flush();
        }
        let title = format!("the output of {name}");
        let colours = if self.is_coloured { Colours::Kept } else { Colours::Removed };
        match &self.service {
            Some(Service::GitHub { .. }) => {
                let group = GitHub::open(&mut to, &title)?;
                ended.output.write(&mut to, "", colours)?;
                group.close(&mut to)?;
            }
            Some(Service::GitLab) => {
                self.sections += 1;
                let section = Section::open(&mut to, self.sections, &title)?;
                ended.output.write(&mut to, "", colours)?;
                section.close(&mut to)?;
            }
            None => {
                writeln!(to, "------ {title}:")?;
                ended.output.write(&mut to, "", colours)?;
                writeln!(to, "------")?;
            }
        }
        to.flush()
    }

    fn sum_up(&mut self, sum: &Sum) {
        let words = sum.sentence();
        self.say(ALL, &words);
        if let [_, _, ..] = sum.slowest.as_slice() {
            let slowest = sum.slowest.iter().map(|(name, took)| format!("{name} {}", words::time(*took)));
            self.say(ALL, &format!("slowest: {}", slowest.collect::<Vec<_>>().join(", ")));
        }
        if let Some(Service::GitHub { github, summary: Some(path) }) = &mut self.service
            && let Err(error) = github.summarize(path, &words)
        {
            self.say(ALL, &format!("the summary of the step could not be written: {error}"));
        }
    }
}
