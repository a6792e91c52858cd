//! Which services are used before what: so that who looks for uses of a service does not go through everything.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::graph::{Binding, ServiceNode, Step, closure};
use crate::model::Digest;

/// Nodes in an order in which each comes after all that is before it, and where each service is used first: a search for uses
/// of a service need not go on to what comes before that. It grows with what is searched, and each node is taken in once.
#[derive(Default)]
pub(super) struct Order {
    places: HashMap<Digest, usize>,
    first_uses: HashMap<Digest, usize>,
}

impl Order {
    /// Takes in a step and all that is before it. Services are identified by key.
    pub(super) fn learn(&mut self, step: &Arc<Step>, key: impl Fn(&Arc<ServiceNode>) -> Digest) {
        let mut open = vec![(Node::Step(step), false)];
        while let Some((node, is_left)) = open.pop() {
            if self.places.contains_key(&node.digest()) {
                continue;
            }
            let (inputs, bindings) = node.before();
            if !is_left {
                open.push((node, true));
                open.extend(bindings.iter().map(|binding| (Node::Service(&binding.service), false)));
                open.extend(inputs.map(|step| (Node::Step(step), false)));
                continue;
            }
            let place = self.places.len();
            self.places.insert(node.digest(), place);
            if let Node::Step(step) = node {
                for service in closure(&step.bindings).values() {
                    self.first_uses.entry(key(service)).or_insert(place);
                }
            }
        }
    }

    /// Those of the services that this node or one before it uses.
    pub(super) fn used_until(
        &self,
        node: Node<'_>,
        mut services: Arc<BTreeSet<Digest>>,
    ) -> Arc<BTreeSet<Digest>> {
        let place = self.places.get(&node.digest());
        let is_used =
            |service: &Digest| self.first_uses.get(service).is_some_and(|first| Some(first) <= place);
        if !services.iter().all(is_used) {
            Arc::make_mut(&mut services).retain(is_used);
        }
        services
    }
}

/// What others come after.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Step(&'a Arc<Step>),
    Service(&'a Arc<ServiceNode>),
}

impl<'a> Node<'a> {
    fn digest(self) -> Digest {
        match self {
            Self::Step(step) => step.digest,
            Self::Service(service) => service.digest,
        }
    }

    fn before(self) -> (Box<dyn Iterator<Item = &'a Arc<Step>> + 'a>, &'a [Binding]) {
        match self {
            Self::Step(step) => (Box::new(step.inputs()), &step.bindings),
            Self::Service(service) => (Box::new(service.inputs()), &service.bindings),
        }
    }
}
