//! The stored result of a step, in one file (`engine/record.rs`), with the names of its layers, which run of the step it is
//! of, and which runs of others that was made of. A result counts while nothing of that has been run again.
//!
//! Earlier versions wrote everything as one JSON text, under a name that ends in `.json`, and then files that say nothing of
//! runs: neither is taken for a result, and both are removed by pruning.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Store;
use crate::engine::{Recording, record};
use crate::model::{ContentDigest, Digest, Provenance};
use crate::sha256::Sha256;

/// The suffix of these files.
pub(super) const SUFFIX: &str = "step";

/// The stored result.
#[derive(Debug)]
pub(in super::super) struct StoredStep {
    pub(in super::super) layers: Vec<String>,
    pub(in super::super) output: Recording,
    pub(in super::super) from: Provenance,
}

/// What its line says besides how long the streams are.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    layers: Vec<String>,
    #[serde(flatten)]
    from: Provenance,
    /// When everything was written, in nanoseconds since 1970; 20 digits, so that it can be written last.
    written: String,
}

fn digits(time: Duration) -> String {
    format!("{:020}", time.as_nanos())
}

impl Store {
    pub(in super::super) fn step(&self, key: &Digest) -> Option<StoredStep> {
        let file = self.open_record(&path(self.root(), key))?;
        let (head, output) = record::read::<Head>(file, 0)?;
        let written = Duration::from_nanos(head.written.parse().ok()?);
        // Any part of a file that a crash of the machine damaged may be missing.
        if !self.sound.is_sound(SystemTime::UNIX_EPOCH + written) || !self.has_all(&head.layers) {
            return None;
        }
        let Head { layers, from, .. } = head;
        self.runs.accept(key, &from, |key| self.recorded(key)).then_some(StoredStep { layers, output, from })
    }

    /// Where the result is from that is recorded under a key. It is not used by that.
    fn recorded(&self, key: &Digest) -> Option<Provenance> {
        let file = File::open(path(self.root(), key)).ok()?;
        Some(record::head::<Head>(&file, 0)?.from)
    }

    /// Takes note of the run that the session sees. Says whether it may have results that do not count any more.
    pub(in super::super) fn sees(&self, key: &Digest, from: &Provenance) -> bool {
        self.runs.see(key, from)
    }

    /// Whether a result that was accepted still counts.
    pub(in super::super) fn is_current(&self, from: &Provenance) -> bool {
        self.runs.is_current(&from.made_of, |key| self.recorded(key))
    }

    pub(in super::super) fn keep_step(&self, key: &Digest, step: &StoredStep) -> io::Result<()> {
        self.runs.learn(key, &step.from.run, &step.from.made_of);
        let from = step.from.clone();
        let mut head = Head { layers: step.layers.clone(), from, written: digits(Duration::ZERO) };
        self.put_record(&path(self.root(), key), |file| {
            file.write_all(&record::line(&head, &step.output)?)?;
            record::write_streams(file, &step.output)?;
            head.written =
                digits(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
            file.rewind()?;
            file.write_all(&record::line(&head, &step.output)?)
        })
    }
}

pub(super) fn path(root: &Path, key: &Digest) -> PathBuf {
    root.join("steps").join(format!("{key}.{SUFFIX}"))
}

/// The output of a step whose files are elsewhere, if anywhere.
#[derive(Debug)]
pub(in super::super) struct StoredOutput {
    pub(in super::super) from: Provenance,
    pub(in super::super) output: Recording,
}

/// What its line says besides how long the streams are.
#[derive(Debug, Serialize, Deserialize)]
struct OutputHead {
    #[serde(flatten)]
    from: Provenance,
    /// The digest of the streams, one after the other: a crash of the machine may damage any part of a file.
    digest: ContentDigest,
}

impl Store {
    pub(in super::super) fn output(&self, key: &Digest) -> Option<StoredOutput> {
        let file = self.open_record(&output_path(self.root(), key))?;
        let (OutputHead { from, digest }, output) = record::read::<OutputHead>(file, 0)?;
        let is_whole = hash(&output).ok()? == digest;
        let is_current = is_whole && self.runs.accept(key, &from, |key| self.recorded(key));
        is_current.then_some(StoredOutput { from, output })
    }

    pub(in super::super) fn keep_output(&self, key: &Digest, stored: StoredOutput) -> io::Result<()> {
        let StoredOutput { from, output } = stored;
        self.runs.learn(key, &from.run, &from.made_of);
        let head = OutputHead { from, digest: hash(&output)? };
        self.put_record(&output_path(self.root(), key), |file| {
            file.write_all(&record::line(&head, &output)?)?;
            record::write_streams(file, &output)
        })
    }
}

fn hash(output: &Recording) -> io::Result<ContentDigest> {
    let mut hash = Hashing(Sha256::new());
    record::write_streams(&mut hash, output)?;
    Ok(ContentDigest::hashed(hash.0))
}

/// Hashes what is written.
struct Hashing(Sha256);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn output_path(root: &Path, key: &Digest) -> PathBuf {
    root.join("steps").join(format!("{key}.output"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::{StepOutput, Written};
    use crate::model::{MadeOf, SessionId};

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("home"), &SessionId::random()).unwrap();
        (directory, store)
    }

    const KEY: Digest = Digest([7; 32]);

    fn result(output: StepOutput) -> StoredStep {
        StoredStep { layers: Vec::new(), output: output.into(), from: Provenance::of_nothing() }
    }

    fn of(run: &str, made_of: &[(Digest, &str)]) -> StoredStep {
        let made_of = made_of.iter().map(|(key, run)| MadeOf { key: *key, run: (*run).into() });
        let from = Provenance::now(run.into(), made_of.collect());
        StoredStep { from, ..result(StepOutput::default()) }
    }

    #[test]
    fn a_result_counts_while_nothing_that_it_was_made_of_has_been_run_again() {
        const BELOW: Digest = Digest([6; 32]);
        const ABOVE: Digest = Digest([8; 32]);
        let (directory, first) = store();
        let session = || Store::open(directory.path().join("home"), &SessionId::random()).unwrap();
        first.keep_step(&BELOW, &of("a", &[])).unwrap();
        first.keep_step(&KEY, &of("b", &[(BELOW, "a")])).unwrap();
        first.keep_step(&ABOVE, &of("c", &[(KEY, "b"), (Digest([9; 32]), "never recorded")])).unwrap();
        let before = session();
        assert_eq!(before.step(&ABOVE).unwrap().from, first.step(&ABOVE).unwrap().from);
        session().keep_step(&BELOW, &of("d", &[])).unwrap();
        let after = session();
        assert!(after.step(&ABOVE).is_none() && after.step(&KEY).is_none());
        assert_eq!(after.step(&BELOW).unwrap().from.run, "d".into(), "it is in the place of the earlier one");
        assert!(before.step(&ABOVE).is_some(), "a session sees one run of a step");
        after.keep_step(&KEY, &of("e", &[(BELOW, "d")])).unwrap();
        assert!(after.step(&KEY).is_some() && after.step(&ABOVE).is_none());
    }

    #[test]
    fn output_is_kept_byte_for_byte_and_read_from_where_it_lies() {
        let (_directory, store) = store();
        let stdout: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        let output = StepOutput { stdout: stdout.clone(), stderr: b"{}\n\n".into(), exit_code: -1 };
        store.keep_step(&KEY, &result(output)).unwrap();
        let size = fs::metadata(path(store.root(), &KEY)).unwrap().len();
        assert!(size < 3_000_200, "{size} bytes for 3,000,004");
        let found = store.step(&KEY).unwrap().output;
        assert!(matches!(found.stdout, Written::File(_)), "{found:?}");
        assert!(found.stdout.to_vec().unwrap() == stdout);
        assert_eq!((found.stderr.to_vec().unwrap(), found.exit_code), (b"{}\n\n".to_vec(), -1));
        // Even if the file is pruned meanwhile.
        fs::remove_file(path(store.root(), &KEY)).unwrap();
        assert!(found.stdout.to_vec().unwrap() == stdout && store.step(&KEY).is_none());
    }

    #[test]
    fn a_record_that_is_not_whole_is_none() {
        let (_directory, mut store) = store();
        let output = StepOutput { stdout: vec![b'x'; 100_000], ..StepOutput::default() };
        store.keep_step(&KEY, &result(output)).unwrap();
        let place = path(store.root(), &KEY);
        let whole = fs::read(&place).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..20], b"", b"\n", &[&whole[..], b"x"].concat()] {
            fs::write(&place, damaged).unwrap();
            assert!(store.step(&KEY).is_none(), "{} bytes", damaged.len());
        }
        fs::write(&place, &whole).unwrap();
        assert!(store.step(&KEY).is_some());
        // It has the right length, but its contents are unknown.
        let root = store.root().to_owned();
        store.sound.crash(&root);
        assert!(store.step(&KEY).is_none());
    }

    #[test]
    fn what_an_earlier_version_kept_is_not_misread() {
        let (_directory, store) = store();
        let text = r#"{"layers":[],"stdout":[111],"stderr":[],"exit_code":0}"#;
        fs::write(store.root().join(format!("steps/{KEY}.json")), text).unwrap();
        assert!(store.step(&KEY).is_none());
        // One that says nothing of runs.
        let text = format!(
            r#"{{"layers":[],"written":"{}","exit_code":0,"stdout":0,"stderr":0}}"#,
            digits(Duration::ZERO)
        );
        fs::write(path(store.root(), &KEY), text + "\n").unwrap();
        assert!(store.step(&KEY).is_none());
    }
}
