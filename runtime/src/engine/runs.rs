//! Which runs of steps a session sees: what was made of another run of a step does not count.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::model::{Digest, MadeOf, Provenance, RunId};

/// The runs that a session knows, whatever others do: it sees one run of a step.
#[derive(Default)]
pub(super) struct Runs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Digest, Known>,
    /// Those of which nothing that they were made of has been run again, however far below.
    current: HashSet<Digest>,
    /// The runs that accepted results were made of, of which nothing was known.
    believed: HashMap<Digest, RunId>,
    /// Whether a run has taken the place of another one that this session saw, or believed in.
    is_renewed: bool,
}

#[derive(Clone)]
struct Known {
    run: RunId,
    made_of: Arc<[MadeOf]>,
}

impl Runs {
    /// Takes note of the run that this session sees. Says whether it may have results that do not count any more, once for
    /// all that has happened since it was asked last.
    pub(super) fn see(&self, key: &Digest, from: &Provenance) -> bool {
        self.learn(key, &from.run, &from.made_of);
        std::mem::take(&mut lock(&self.state).is_renewed)
    }

    /// Takes note of the run that this session sees.
    pub(super) fn learn(&self, key: &Digest, run: &RunId, made_of: &[MadeOf]) {
        let known = Known { run: run.clone(), made_of: made_of.into() };
        let mut state = lock(&self.state);
        let before = state.known.insert(*key, known).map(|before| before.run);
        if before.or_else(|| state.believed.remove(key)).is_some_and(|before| before != *run) {
            state.current.clear();
            state.is_renewed = true;
        }
    }

    /// Whether nothing that a result was made of has been run again since; then this session sees the result's run.
    /// `recorded` says what is recorded of a key: of what is not, nobody knows another run.
    pub(super) fn accept(
        &self,
        key: &Digest,
        from: &Provenance,
        recorded: impl Fn(&Digest) -> Option<Provenance>,
    ) -> bool {
        let is_current = self.is_current(&from.made_of, recorded);
        if is_current {
            self.learn(key, &from.run, &from.made_of);
        }
        is_current
    }

    /// Whether nothing of this has been run again since, however far below.
    pub(super) fn is_current(
        &self,
        made_of: &[MadeOf],
        recorded: impl Fn(&Digest) -> Option<Provenance>,
    ) -> bool {
        let mut open = made_of.to_vec();
        let (mut seen, mut believed) = (HashSet::new(), Vec::new());
        while let Some(part) = open.pop() {
            let Some(known) = self.known(&part.key, &recorded) else {
                believed.push((part.key, part.run));
                continue;
            };
            if known.run != part.run {
                return false;
            }
            if !lock(&self.state).current.contains(&part.key) && seen.insert(part.key) {
                open.extend(known.made_of.iter().cloned());
            }
        }
        let mut state = lock(&self.state);
        state.current.extend(seen);
        state.believed.extend(believed);
        true
    }

    fn known(&self, key: &Digest, recorded: impl Fn(&Digest) -> Option<Provenance>) -> Option<Known> {
        if let Some(known) = lock(&self.state).known.get(key) {
            return Some(known.clone());
        }
        let Provenance { run, made_of, .. } = recorded(key)?;
        let known = Known { run, made_of: made_of.into() };
        Some(lock(&self.state).known.entry(*key).or_insert(known).clone())
    }
}
