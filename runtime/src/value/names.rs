//! The names of the program's services, whether or not anything has needed them yet: a client that lacks a binding does not
//! lead to the service that it means, and its error can name that all the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// More than the services of any program; later ones are not remembered.
const MOST: usize = 1024;

static NAMES: Mutex<BTreeSet<Arc<str>>> = Mutex::new(BTreeSet::new());

/// Remembers the name of a service.
pub(super) fn learn(name: &str) {
    let mut names = lock(&NAMES);
    if names.len() < MOST && !names.contains(name) {
        names.insert(name.into());
    }
}

/// All that are remembered.
pub(crate) fn names_of_services() -> BTreeSet<Arc<str>> {
    lock(&NAMES).clone()
}
