//! What engines keep beyond sessions, by kind, and what of it goes when room is made.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A kind of what is kept on the disk for later runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoredKind {
    /// Images that the native engine has; with Docker, whose images are its own, those that a pipeline added under a name
    /// of its own: of files, and for other platforms.
    Image,
    /// What steps left and wrote, and directories of this machine as they were sent.
    Result,
    /// Cache volumes.
    Cache,
}

impl StoredKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Image, Self::Result, Self::Cache];

    /// The word for it, in the plural: `images`, `results`, `caches`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Result => "results",
            Self::Cache => "caches",
        }
    }
}

impl fmt::Display for StoredKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What [`prune`](crate::prune) removes: everything that is not in use, unless it is narrowed.
///
/// ```no_run
/// # async fn making_room() -> bowline::Result<()> {
/// use std::time::Duration;
///
/// use bowline::{Prune, StoredKind};
///
/// const GIB: u64 = 1 << 30;
/// let fortnight = Duration::from_secs(14 * 24 * 60 * 60);
/// let what = Prune::all().only([StoredKind::Image, StoredKind::Result]);
/// let pruned = bowline::prune(what.unused_for(fortnight).down_to(20 * GIB)).await?;
/// eprintln!("{pruned}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Prune {
    unused_for: Option<Duration>,
    down_to: Option<u64>,
    /// All kinds, if nobody says.
    kinds: Option<Vec<StoredKind>>,
    is_dry: bool,
}

impl Prune {
    /// Everything that is not in use: images, results and cache volumes.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these kinds; others are not even counted.
    #[must_use]
    pub fn only(self, kinds: impl IntoIterator<Item = StoredKind>) -> Self {
        Self { kinds: Some(kinds.into_iter().collect()), ..self }
    }

    /// Only what no pipeline has used for this long.
    #[must_use]
    pub fn unused_for(self, time: Duration) -> Self {
        Self { unused_for: Some(time), ..self }
    }

    /// Removes the least recently used first, until no more than this many bytes are left. Together with
    /// [`unused_for`](Self::unused_for), whatever either of the two selects is removed.
    #[must_use]
    pub fn down_to(self, bytes: u64) -> Self {
        Self { down_to: Some(bytes), ..self }
    }

    /// Removes nothing, and says what would be removed.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { is_dry: true, ..self }
    }

    pub(super) fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Whether this kind is asked for.
    pub(super) fn takes(&self, kind: StoredKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Whether something goes that was last used then, while so many bytes are left.
    fn selects(&self, used: SystemTime, now: SystemTime, left: u64) -> bool {
        let is_old =
            self.unused_for.is_some_and(|limit| now.duration_since(used).is_ok_and(|age| age >= limit));
        let is_too_much = self.down_to.is_some_and(|limit| left > limit);
        is_old || is_too_much || (self.unused_for.is_none() && self.down_to.is_none())
    }
}

/// What is there of one kind, and what of it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) removed_entries: u64,
    pub(crate) removed_bytes: u64,
}

/// The same of every kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tallies(pub(crate) BTreeMap<StoredKind, Tally>);

impl Tallies {
    fn of(&mut self, kind: StoredKind) -> &mut Tally {
        self.0.entry(kind).or_default()
    }

    /// The bytes that are left.
    pub(crate) fn left(&self) -> u64 {
        self.0.values().map(|tally| tally.bytes.saturating_sub(tally.removed_bytes)).sum()
    }
}

/// Something that is kept under a name of its own.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub(super) what: T,
    pub(super) kind: StoredKind,
    /// When it was last used, as far as that is known.
    pub(super) used: SystemTime,
    /// Whether nobody finds it any more: it goes as soon as nobody can still have it, and is counted by its bytes alone.
    pub(super) is_left_over: bool,
    /// The bytes that nothing else has a part in.
    pub(super) own: u64,
    /// What it shares with others, such as layers.
    pub(super) parts: Vec<String>,
}

/// Decides what goes, the least recently used first, and counts.
pub(super) struct Planner<'a> {
    what: &'a Prune,
    now: SystemTime,
    /// What was used since then may be in use.
    in_use_since: SystemTime,
    parts: BTreeMap<String, Part>,
    tallies: Tallies,
}

struct Part {
    bytes: u64,
    kind: StoredKind,
    /// How much is there that has it.
    users: u64,
}

impl<'a> Planner<'a> {
    /// For the kinds that are asked for, of what there is. What others have parts in is to be in `all` too, whatever its
    /// kind; `bytes` is the size of a part.
    pub(super) fn new<T>(
        what: &'a Prune,
        in_use_since: SystemTime,
        all: &mut [Stored<T>],
        bytes: impl Fn(&str) -> u64,
    ) -> Self {
        all.sort_by_key(|stored| stored.used);
        let now = SystemTime::now();
        let mut planner =
            Self { what, now, in_use_since, parts: BTreeMap::new(), tallies: Tallies::default() };
        for stored in all.iter() {
            for name in &stored.parts {
                let new = || Part { bytes: bytes(name), kind: stored.kind, users: 0 };
                let part = planner.parts.entry(name.clone()).or_insert_with(new);
                part.users += 1;
                // Images stay images, whatever was made of them.
                part.kind = part.kind.min(stored.kind);
            }
            if what.takes(stored.kind) {
                let tally = planner.tallies.of(stored.kind);
                tally.entries += u64::from(!stored.is_left_over);
                tally.bytes += stored.own;
            }
        }
        for part in planner.parts.values().filter(|part| what.takes(part.kind)) {
            planner.tallies.of(part.kind).bytes += part.bytes;
        }
        for kind in StoredKind::ALL.into_iter().filter(|kind| what.takes(*kind)) {
            planner.tallies.of(kind);
        }
        planner
    }

    /// Adds what nothing has any more, of which no entry is left.
    pub(super) fn left_over(&mut self, kind: StoredKind, bytes: u64, is_removed: bool) {
        if self.what.takes(kind) {
            let tally = self.tallies.of(kind);
            tally.bytes += bytes;
            tally.removed_bytes += if is_removed { bytes } else { 0 };
        }
    }

    pub(super) fn has_part(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// Whether it is to go now.
    pub(super) fn wants<T>(&self, stored: &Stored<T>) -> bool {
        stored.used < self.in_use_since
            && self.what.takes(stored.kind)
            && (stored.is_left_over || self.what.selects(stored.used, self.now, self.tallies.left()))
    }

    /// It is gone: gives the parts that nothing has any more.
    pub(super) fn gone<T>(&mut self, stored: &Stored<T>) -> Vec<String> {
        let tally = self.tallies.of(stored.kind);
        tally.removed_entries += u64::from(!stored.is_left_over);
        tally.removed_bytes += stored.own;
        let mut unused = Vec::new();
        for name in &stored.parts {
            let Some(part) = self.parts.get_mut(name) else { continue };
            part.users -= 1;
            if part.users == 0 {
                unused.push(name.clone());
            }
        }
        unused
    }

    /// The part is gone too.
    pub(super) fn freed(&mut self, name: &str) {
        let Some(Part { bytes, kind, .. }) = self.parts.get(name) else { return };
        let (bytes, kind) = (*bytes, *kind);
        if self.what.takes(kind) {
            self.tallies.of(kind).removed_bytes += bytes;
        }
    }

    pub(super) fn done(self) -> Tallies {
        self.tallies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// Names with their kinds, hours since their last use, bytes of their own, and parts.
    fn store(all: &[(&'static str, StoredKind, u32, u64, &[&str])]) -> Vec<Stored<&'static str>> {
        let stored = |(what, kind, hours, own, parts): &(&'static str, _, u32, u64, &[&str])| Stored {
            what: *what,
            kind: *kind,
            used: SystemTime::now() - HOUR * *hours,
            is_left_over: false,
            own: *own,
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        };
        all.iter().map(stored).collect()
    }

    fn pruned(what: &Prune, mut all: Vec<Stored<&'static str>>) -> (Vec<&'static str>, Tallies) {
        let in_use_since = SystemTime::now() - HOUR / 2;
        let mut planner = Planner::new(what, in_use_since, &mut all, |_| 1000);
        let mut gone = Vec::new();
        for stored in &all {
            if planner.wants(stored) {
                gone.push(stored.what);
                for part in planner.gone(stored) {
                    planner.freed(&part);
                }
            }
        }
        (gone, planner.done())
    }

    fn example() -> Vec<Stored<&'static str>> {
        store(&[
            ("base", StoredKind::Image, 9, 1, &["a"]),
            ("step", StoredKind::Result, 5, 10, &["a", "b"]),
            ("next", StoredKind::Result, 7, 10, &["a", "b", "c"]),
            ("pip", StoredKind::Cache, 3, 500, &[]),
            ("now", StoredKind::Cache, 0, 700, &[]),
        ])
    }

    #[test]
    fn everything_goes_but_what_is_in_use() {
        let (gone, tallies) = pruned(&Prune::all(), example());
        assert_eq!(gone, ["base", "next", "step", "pip"]);
        assert_eq!(tallies.left(), 700);
        let results = tallies.0[&StoredKind::Result];
        assert_eq!((results.entries, results.bytes, results.removed_bytes), (2, 2020, 2020));
        assert_eq!(tallies.0[&StoredKind::Cache].entries, 2);
    }

    #[test]
    fn what_others_have_is_not_freed_before_they_are_gone() {
        let (gone, tallies) = pruned(&Prune::all().only([StoredKind::Image]), example());
        assert_eq!(gone, ["base"]);
        assert_eq!(tallies.0[&StoredKind::Image].removed_bytes, 1, "its layer is a step's too");
        assert!(!tallies.0.contains_key(&StoredKind::Result), "nobody asked");
    }

    #[test]
    fn age_and_size_select_the_least_recently_used() {
        let (gone, _) = pruned(&Prune::all().unused_for(HOUR * 6), example());
        assert_eq!(gone, ["base", "next"]);
        // 4 KB and some are there: what `base` and `next` have is not enough.
        let (gone, tallies) = pruned(&Prune::all().down_to(2500), example());
        assert_eq!(gone, ["base", "next", "step"]);
        assert_eq!(tallies.left(), 1200);
        let (gone, _) = pruned(&Prune::all().down_to(1 << 20), example());
        assert!(gone.is_empty(), "{gone:?}");
    }
}
