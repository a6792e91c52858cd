//! The live tree on a terminal: what goes on, with its last lines, at the bottom of the screen. What has passed disappears;
//! what has failed stays, with all of its output.

mod keys;
mod rows;
mod screen;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::keys::Keys;
#[cfg(feature = "cli")]
pub(super) use self::keys::{Listening, listen};
use self::screen::Screen;
use super::state::{Ended, How, News, State, Sum};
use super::ticker::Ticker;
use super::{held, log, outcome};
use crate::event::{DirectObserver, Event, LineBatch, Stream};
use crate::lock::lock;
use crate::terminal::{self, Colours};

/// Ten times a second: faster than anybody reads.
const INTERVAL: Duration = Duration::from_millis(100);
/// What takes no longer is not worth a drawing that appears and disappears.
const SUDDEN: Duration = Duration::from_millis(150);
/// How long nothing goes on before what failed is shown: the program may have something to say of it first.
const IDLE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Tree {
    inner: Mutex<Inner>,
    /// Locked before `inner`, and while something is written: a terminal may take nothing for as long as a person likes.
    screen: Mutex<Drawing>,
    ticker: Ticker,
}

/// What is drawn, and the keys that are pressed meanwhile.
#[derive(Debug, Default)]
struct Drawing {
    screen: Screen,
    keys: Keys,
}

#[derive(Debug)]
struct Inner {
    state: State,
    is_coloured: bool,
    /// What has ended and is still shown, the last at the end.
    ended: VecDeque<rows::Past>,
    /// What failed and has not been shown yet.
    failed: Vec<(String, Ended)>,
    /// What is said above the drawing.
    said: Vec<String>,
    /// Since when something goes on.
    busy_since: Option<Instant>,
    /// Since when nothing does.
    idle_since: Option<Instant>,
    /// Whether somebody else has the terminal.
    is_paused: bool,
    /// How often it was drawn.
    frames: usize,
}

impl Tree {
    pub(super) fn start(is_coloured: bool) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let inner = Inner {
                state: State::default(),
                is_coloured,
                ended: VecDeque::new(),
                failed: Vec::new(),
                said: Vec::new(),
                busy_since: None,
                idle_since: None,
                is_paused: false,
                frames: 0,
            };
            let ticker = Ticker::start(INTERVAL, this.clone(), Self::draw);
            Self { inner: Mutex::new(inner), screen: Mutex::default(), ticker }
        })
    }

    /// Draws what goes on; returns whether there is more to come.
    fn draw(&self) -> bool {
        let Drawing { screen, keys } = &mut *lock(&self.screen);
        let (frame, above, is_more) = {
            let mut inner = lock(&self.inner);
            if inner.is_paused {
                return false;
            }
            let is_busy = inner.state.works.values().any(super::state::Work::is_going_on);
            if is_busy {
                inner.busy_since.get_or_insert_with(Instant::now);
                inner.idle_since = None;
            } else {
                inner.busy_since = None;
                inner.idle_since.get_or_insert_with(Instant::now);
            }
            let is_worth_it = inner.busy_since.is_some_and(|since| since.elapsed() >= SUDDEN);
            let size = screen::size();
            // A job in the background has no terminal to draw on, and gets it back with `fg`.
            let is_ours = !terminal::is_in_background(io::stderr());
            let is_shown = is_ours && (is_worth_it || (is_busy && screen.is_drawn()));
            let frame = is_shown.then(|| inner.rows(size));
            // What failed is shown once nothing goes on, so that it stands at the end.
            let is_idle = inner.idle_since.is_some_and(|since| since.elapsed() >= IDLE);
            let failed = if is_idle { std::mem::take(&mut inner.failed) } else { Vec::new() };
            inner.frames = inner.frames.wrapping_add(1);
            let above = inner.above(failed);
            (frame.map(|rows| (rows, size)), above, is_busy || !inner.failed.is_empty())
        };
        let mut to = io::BufWriter::new(io::stderr().lock());
        // A terminal that is closed is no reason to fail.
        let _ = screen::say(&mut to, &above);
        let is_drawn = frame.is_some();
        let _ = match frame {
            Some((rows, size)) => screen.draw(&mut to, size, &rows),
            None => screen.clear(&mut to),
        };
        let _ = to.flush();
        if !is_drawn {
            keys.leave();
        } else if keys.are_asking() {
            self.tell_all();
        }
        is_more
    }

    /// Says something above the drawing.
    pub(super) fn say(&self, lines: &[u8]) {
        let _screen = lock(&self.screen);
        if lock(&self.inner).is_paused {
            held::show(lines);
        } else {
            let mut to = io::BufWriter::new(io::stderr().lock());
            let _ = screen::say(&mut to, lines).and_then(|()| to.flush());
        }
    }

    /// Shows what has failed so far, before somebody speaks of it.
    #[cfg(feature = "cli")]
    pub(super) fn settle(&self) {
        self.end(None);
    }

    /// Shows everything that is left to be shown, and takes the drawing away.
    fn end(&self, sum: Option<&Sum>) {
        let Drawing { screen, keys } = &mut *lock(&self.screen);
        let above = {
            let mut inner = lock(&self.inner);
            inner.ended.clear();
            inner.busy_since = None;
            let failed = std::mem::take(&mut inner.failed);
            let mut above = inner.above(failed);
            if let Some(sum) = sum {
                above.extend(inner.summary(sum).into_bytes());
            }
            above
        };
        let mut to = io::BufWriter::new(io::stderr().lock());
        let _ = screen.clear(&mut to).and_then(|()| screen::say(&mut to, &above));
        let _ = to.flush();
        keys.leave();
    }

    pub(super) fn tell_all(&self) {
        let mut inner = lock(&self.inner);
        let lines: Vec<String> =
            inner.state.details().iter().map(|(name, line)| inner.line(name, line)).collect();
        inner.said.extend(lines);
        drop(inner);
        self.ticker.wake();
    }

    /// Whether all that this wrote has been shown, as it failed.
    #[cfg(feature = "cli")]
    pub(super) fn has_shown(&self, writer: crate::error::Writer<'_>) -> bool {
        lock(&self.inner).state.has_failed(writer)
    }

    pub(super) fn finish(&self) {
        if let (Ok(_), Ok(mut inner)) = (self.screen.try_lock(), self.inner.try_lock()) {
            let sum = inner.state.finish();
            drop(inner);
            if sum.is_some() {
                self.end(sum.as_ref());
            }
        }
    }

    /// Somebody else gets the terminal.
    pub(super) fn pause(&self) {
        let Drawing { screen, keys } = &mut *lock(&self.screen);
        lock(&self.inner).is_paused = true;
        let mut to = io::stderr().lock();
        let _ = screen.clear(&mut to);
        keys.leave();
    }

    pub(super) fn resume(&self) {
        lock(&self.inner).is_paused = false;
        self.ticker.wake();
    }
}

impl DirectObserver for Tree {
    fn on_event(&self, event: &Event) {
        let mut inner = lock(&self.inner);
        let news = inner.state.follow(event);
        if let Some(News::AllEnded(sum)) = news {
            drop(inner);
            self.end(Some(&sum));
            return;
        }
        if let Some(news) = news {
            inner.hear(news);
        }
        drop(inner);
        self.ticker.wake();
    }

    fn on_lines(&self, event: &Event, _: Stream, lines: &LineBatch) {
        lock(&self.inner).state.keep(event, lines);
    }
}

impl Inner {
    fn hear(&mut self, news: News) {
        match news {
            News::Said { name, text } => {
                let lines: Vec<String> = text.lines().map(|line| self.line(&name, line)).collect();
                self.said.extend(lines);
            }
            News::Ended(ended) => {
                if !matches!(ended.how, How::Cancelled) {
                    self.ended.push_back(rows::Past::of(&ended));
                    if self.ended.len() > rows::MOST_PAST {
                        self.ended.pop_front();
                    }
                }
                if let How::Failed { .. } = ended.how {
                    let name = outcome::name(&ended).to_owned();
                    self.failed.push((name, ended));
                }
            }
            News::Ready { .. } | News::AllEnded(_) => {}
        }
    }

    fn line(&self, name: &str, text: &str) -> String {
        log::line(name, text, self.is_coloured)
    }

    fn rows(&self, (columns, rows): (u16, u16)) -> Vec<String> {
        rows::rows(&self.state, &self.ended, self.frames, columns.into(), rows.into(), self.is_coloured)
    }

    /// What is shown above the drawing, and stays.
    fn above(&mut self, failed: Vec<(String, Ended)>) -> Vec<u8> {
        let mut above: Vec<u8> = self.said.drain(..).collect::<String>().into_bytes();
        let colours = if self.is_coloured { Colours::Kept } else { Colours::Removed };
        for (name, ended) in failed {
            for line in outcome::ended(&ended) {
                above.extend(self.line(&name, &line).into_bytes());
            }
            // Writing into memory does not fail.
            let _ = ended.output.write(&mut above, "  ", colours);
        }
        above
    }

    fn summary(&self, sum: &Sum) -> String {
        let text = sum.sentence();
        let colour = if sum.failed > 0 { 31 } else { 32 };
        if self.is_coloured { format!("\x1b[{colour}m{text}\x1b[0m\n") } else { format!("{text}\n") }
    }
}
