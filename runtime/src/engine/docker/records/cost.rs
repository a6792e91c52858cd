//! What keeping a file system costs on an engine, measured as it goes: some drivers take twenty times as long as others.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::regular;
use crate::staging::AtomicFile;

/// How many of the last times count. The one in the middle is not moved by a few large file systems.
const COUNTED: usize = 9;
/// What it is taken for until it was measured: more than what a process takes that does nothing, most of which is the engine.
const AT_FIRST: Duration = Duration::from_millis(250);
const FILE: &str = "keeping.json";

#[derive(Default)]
pub(super) struct Cost {
    /// The last times, in milliseconds; `None` until they were read.
    times: Mutex<Option<Vec<u64>>>,
}

impl Cost {
    pub(super) fn estimate(&self, directory: &Path) -> Duration {
        let mut times = lock(&self.times);
        let mut times = times.get_or_insert_with(|| read(Some(directory))).clone();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(AT_FIRST, |millis| Duration::from_millis(*millis))
    }

    pub(super) fn learn(&self, directory: Option<&Path>, took: Duration) {
        let mut times = lock(&self.times);
        let times = times.get_or_insert_with(|| read(directory));
        times.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        times.drain(..times.len().saturating_sub(COUNTED));
        if let Some(directory) = directory {
            let _ = write(&directory.join(FILE), times);
        }
    }
}

fn read(directory: Option<&Path>) -> Vec<u64> {
    let text = directory.and_then(|directory| regular::read(&directory.join(FILE), 1 << 10).ok());
    let mut times: Vec<u64> = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    times.truncate(COUNTED);
    times
}

fn write(path: &Path, times: &[u64]) -> std::io::Result<()> {
    let mut staged = AtomicFile::create(path)?;
    std::io::Write::write_all(&mut staged.file, &serde_json::to_vec(times)?)?;
    staged.commit(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeping_costs_is_what_it_cost_before_and_a_few_large_ones_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let millis = Duration::from_millis;
        let cost = Cost::default();
        assert_eq!(cost.estimate(directory.path()), AT_FIRST);
        for took in [1200, 1100, 60_000, 1300, 1250] {
            cost.learn(Some(directory.path()), millis(took));
        }
        assert_eq!(cost.estimate(directory.path()), millis(1250));
        // Other sessions know it too, and it may change.
        let next = Cost::default();
        assert_eq!(next.estimate(directory.path()), millis(1250));
        (0..5).for_each(|_| next.learn(Some(directory.path()), millis(70)));
        assert_eq!(next.estimate(directory.path()), millis(70));
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        assert_eq!(Cost::default().estimate(directory.path()), AT_FIRST);
    }
}
