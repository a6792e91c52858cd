//! What of a graph has to run for what is wanted, what may, and what must not, by what is known of earlier runs.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Graph, Want};

/// What is known of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Whether it has to be found.
    pub(super) is_certain: bool,
    /// Whether its files have to be found, too.
    pub(super) has_files: bool,
    /// The run that it is of, if that is known.
    pub(super) run: Option<String>,
    /// What it wrote, in that run.
    pub(super) output: Option<String>,
    /// The keys of everything that it is made of.
    pub(super) made_of: BTreeSet<u64>,
}

pub(super) type Results = BTreeMap<u64, Known>;

/// What may happen when something is wanted.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// What runs.
    pub(super) must: BTreeSet<usize>,
    /// What may run besides: nobody knows whether a result is there.
    pub(super) may: BTreeSet<usize>,
    /// How many steps of each run at most.
    pub(super) at_most: BTreeMap<usize, usize>,
}

impl Expected {
    pub(super) fn of(graph: &Graph, results: &Results, wants: &[Want]) -> Self {
        let mut expected = Self::default();
        for want in wants {
            expected.need(graph, results, want.node, want.file);
        }
        let closure: BTreeSet<usize> = wants.iter().flat_map(|want| graph.closure(want.node)).collect();
        // What is made of something that runs again runs again, if it is needed after that.
        for &node in &closure {
            let mut earlier = graph.closure(node);
            earlier.remove(&node);
            if earlier.iter().any(|node| expected.must.contains(node) || expected.may.contains(node)) {
                expected.may.insert(node);
            }
        }
        for &node in &expected.must {
            expected.may.remove(&node);
        }
        for node in closure {
            // Where something else fails, what runs beside it is stopped, and may begin again for somebody else. And what
            // has run may be made of a result that is found to be gone when the next thing is wanted.
            let may_begin_again = |want: &&Want| {
                let closure = graph.closure(want.node);
                closure.contains(&node)
                    && (graph.is_doomed(want.node) || closure.iter().any(|node| expected.may.contains(node)))
            };
            let again = wants.iter().filter(may_begin_again).count();
            expected.at_most.insert(node, (1 + graph.nodes[node].before) * (1 + again));
        }
        expected
    }

    fn need(&mut self, graph: &Graph, results: &Results, node: usize, files: bool) {
        let inputs_doomed = graph.nodes[node].inputs().any(|input| graph.is_doomed(input));
        match results.get(&graph.key(node)) {
            Some(known) if known.is_certain && (known.has_files || !files) => {}
            Some(_) => self.may(graph, node),
            // One of them fails, and with that ends what the others do.
            None if inputs_doomed => graph.nodes[node].inputs().for_each(|input| self.may(graph, input)),
            None => {
                self.must.insert(node);
                graph.nodes[node].parts().for_each(|input| self.need(graph, results, input, true));
                graph.nodes[node].after.iter().for_each(|&input| self.need(graph, results, input, false));
            }
        }
    }

    fn may(&mut self, graph: &Graph, node: usize) {
        self.may.extend(graph.closure(node));
    }
}
