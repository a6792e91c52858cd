//! What is random: graphs of steps, edits of them, and what is done with them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;

/// What a step is made of, by the indices of earlier nodes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Node {
    pub(super) base: Option<usize>,
    /// A file is copied from each.
    pub(super) copies: Vec<usize>,
    pub(super) after: Option<usize>,
    /// Part of its command.
    pub(super) version: u32,
    pub(super) fails: bool,
    slow: bool,
    /// How many steps its container has before the last.
    pub(super) before: usize,
}

impl Node {
    pub(super) fn inputs(&self) -> impl Iterator<Item = usize> {
        self.parts().chain(self.after)
    }

    /// The nodes whose files it has, in the order in which its output names them.
    pub(super) fn parts(&self) -> impl Iterator<Item = usize> {
        self.base.into_iter().chain(self.copies.iter().copied())
    }

    /// Any numbers as those of earlier nodes.
    fn fit(mut self, index: usize) -> Self {
        let earlier = |node: usize| node.checked_rem(index);
        self.base = self.base.and_then(earlier);
        self.after = self.after.and_then(earlier);
        let copies: BTreeSet<usize> = self.copies.iter().copied().filter_map(earlier).collect();
        self.copies = copies.into_iter().collect();
        self
    }
}

/// Something that is asked of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) node: usize,
    /// Its file, and not its output.
    pub(super) file: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Base(Option<usize>),
    Copies(Vec<usize>),
    Version(u32),
    Fails(bool),
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Edit(usize, Change),
    See(Vec<Want>),
    /// By two processes at once.
    Together(Vec<Want>, Vec<Want>),
    /// By a process that is killed after so many thousandths of the time that it may take.
    Kill(Vec<Want>, u32),
    /// Some of what is kept is removed or damaged; which, is up to the number.
    Evict(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) graph: Graph,
    pub(super) actions: Vec<Action>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn change(&mut self, node: usize, change: Change) {
        let index = node % self.nodes.len();
        let node = &mut self.nodes[index];
        match change {
            Change::Base(base) => node.base = base,
            Change::Copies(copies) => node.copies = copies,
            Change::Version(version) => node.version = version,
            Change::Fails(fails) => node.fails = fails,
        }
        *node = node.clone().fit(index);
    }

    /// What decides which result is whose: everything that goes into the step, and into what it is made of.
    pub(super) fn key(&self, index: usize) -> u64 {
        let (node, mut hasher) = (&self.nodes[index], DefaultHasher::new());
        (index, node.version, node.fails, node.slow, node.before, node.base.is_some(), &node.copies)
            .hash(&mut hasher);
        for input in node.inputs() {
            (input, self.key(input)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// A node and everything that it is made of, or comes after.
    pub(super) fn closure(&self, of: usize) -> BTreeSet<usize> {
        let mut all: BTreeSet<usize> =
            self.nodes[of].inputs().flat_map(|input| self.closure(input)).collect();
        all.insert(of);
        all
    }

    /// Whether it cannot succeed.
    pub(super) fn is_doomed(&self, index: usize) -> bool {
        self.closure(index).into_iter().any(|node| self.nodes[node].fails)
    }

    pub(super) fn want(&self, want: Want) -> Want {
        Want { node: want.node % self.nodes.len(), ..want }
    }
}

pub(super) fn cases(actions: usize) -> impl Strategy<Value = Case> {
    let graph = vec(node(), 2..7).prop_map(|nodes| Graph {
        nodes: nodes.into_iter().enumerate().map(|(index, node)| node.fit(index)).collect(),
    });
    (graph, vec(action(), 2..=actions)).prop_map(|(graph, actions)| Case { graph, actions })
}

fn node() -> impl Strategy<Value = Node> {
    let other = 0..8_usize;
    let parts =
        (option::weighted(0.6, other.clone()), vec(other.clone(), 0..=2), option::weighted(0.2, other));
    let before = prop_oneof![3 => Just(0), 1 => 1..4_usize];
    (parts, prop::bool::weighted(0.05), prop::bool::weighted(0.2), before).prop_map(
        |((base, copies, after), fails, slow, before)| Node {
            base,
            copies,
            after,
            version: 0,
            fails,
            slow,
            before,
        },
    )
}

fn wants() -> impl Strategy<Value = Vec<Want>> {
    let want = (0..8_usize, prop::bool::weighted(0.3)).prop_map(|(node, file)| Want { node, file });
    vec(want, 1..4)
}

fn action() -> impl Strategy<Value = Action> {
    let change = prop_oneof![
        4 => (0..3_u32).prop_map(Change::Version),
        1 => option::of(0..8_usize).prop_map(Change::Base),
        1 => vec(0..8_usize, 0..=2).prop_map(Change::Copies),
        1 => prop::bool::weighted(0.3).prop_map(Change::Fails),
    ];
    prop_oneof![
        4 => (0..8_usize, change).prop_map(|(node, change)| Action::Edit(node, change)),
        5 => wants().prop_map(Action::See),
        2 => (wants(), wants()).prop_map(|(one, other)| Action::Together(one, other)),
        2 => (wants(), 0..1000_u32).prop_map(|(wants, after)| Action::Kill(wants, after)),
        1 => any::<u64>().prop_map(Action::Evict),
    ]
}
