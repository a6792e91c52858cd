//! Where the parts of a node were written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::model::{Digest, Location};

/// The places where a step or service was written, in the order they were found, each once. Equal ones that are lowered
/// together share the list: whoever runs it sees one node that is written in all of those places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locations(Arc<Mutex<Vec<Location>>>);

impl Locations {
    /// All places known so far.
    pub(crate) fn all(&self) -> Vec<Location> {
        lock(&self.0).clone()
    }

    fn add(&self, place: Location) {
        let mut places = lock(&self.0);
        if place.is_of_the_program() && !places.contains(&place) {
            places.push(place);
        }
    }
}

impl From<Vec<Location>> for Locations {
    fn from(places: Vec<Location>) -> Self {
        Self(Arc::new(Mutex::new(places)))
    }
}

/// The places of all nodes that are lowered together, by digest.
#[derive(Debug, Default)]
pub(super) struct Written(HashMap<Digest, Locations>);

impl Written {
    /// Adds a place to a node's, and returns them.
    pub(super) fn at(&mut self, node: Digest, place: Location) -> Locations {
        let places = self.0.entry(node).or_default();
        places.add(place);
        places.clone()
    }
}
