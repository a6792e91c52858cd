//! Turns: of those who want to do the same, one does it at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Locks by name, of one session.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(lock(&self.0).entry(name.to_owned()).or_default())
    }
}
