//! Findings of probes while they run.

use std::fmt;

use crate::lock::lock;

/// The latest findings of probes, for the error when time runs out.
#[derive(Default)]
pub(crate) struct ProbeProgress {
    /// The latest finding of each probe that has not succeeded.
    found: std::sync::Mutex<Vec<(String, String)>>,
    /// Called when a probe's failure changes, and when a failed probe succeeds.
    changed: Option<Box<ProbeChanged>>,
}

/// Receives a probe's name, and its finding unless it succeeded.
type ProbeChanged = dyn Fn(&str, Option<&str>) + Send + Sync;

impl fmt::Debug for ProbeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProbeProgress").field(&self.found).finish()
    }
}

impl ProbeProgress {
    pub(crate) fn telling(changed: impl Fn(&str, Option<&str>) + Send + Sync + 'static) -> Self {
        Self { found: std::sync::Mutex::default(), changed: Some(Box::new(changed)) }
    }

    /// Records the latest result of a probe, for example `6379/tcp` and `connection refused`; `None` once it succeeded.
    pub(crate) fn note(&self, probe: &str, failure: Option<&str>) {
        let mut found = lock(&self.found);
        let before = found.iter().position(|(name, _)| name == probe).map(|place| found.remove(place).1);
        if let Some(failure) = failure {
            found.push((probe.to_owned(), failure.to_owned()));
        }
        if let Some(changed) = &self.changed
            && before.as_deref() != failure
        {
            changed(probe, failure);
        }
    }

    /// The probes that have not succeeded, each with its latest finding.
    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        lock(&self.found).clone()
    }
}
