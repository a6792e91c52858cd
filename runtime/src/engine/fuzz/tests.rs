//! The saved corpus and mutations of it, through every entry point.

use std::path::{Path, PathBuf};

use super::*;

/// How many mutations of each saved input are tried.
const MUTATIONS: u64 = 50;

/// The saved inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus in {}", directory.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The same numbers in every run (xorshift; Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

/// Changes, removes, repeats or inserts a few bytes.
fn mutated(input: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len());
        let end = (at + 1 + numbers.next(16)).min(bytes.len());
        match numbers.next(4) {
            _ if bytes.is_empty() => bytes.push(b'0'),
            0 => bytes[at] = u8::try_from(numbers.next(256)).unwrap(),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            _ => bytes.insert(at, b"\0\n{}[],:\"9/.-\xff"[numbers.next(14)]),
        }
    }
    bytes
}

fn feed(target: &str, entry_point: impl Fn(&[u8])) {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for input in corpus(target) {
        entry_point(&input);
        for _ in 0..MUTATIONS {
            entry_point(&mutated(&input, &mut numbers));
        }
    }
}

#[test]
fn patterns_of_any_text_are_read() {
    feed("patterns", patterns);
}

#[test]
fn documents_of_any_registry_are_read() {
    feed("documents", documents);
}

#[test]
fn user_files_of_any_image_are_read() {
    feed("users", users);
}

#[test]
fn anything_is_read_from_the_wire() {
    feed("wire", wire);
}

#[test]
fn any_question_for_a_name_is_read() {
    feed("question", question);
}

#[test]
fn any_file_is_read_as_an_image() {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    feed("image_file", |data| image_file(data, scratch.path()));
}

#[test]
fn anything_that_an_engine_answers_is_read() {
    feed("answers", answers);
}

#[test]
fn any_layer_is_unpacked() {
    let root = tempfile::tempdir().unwrap();
    match Jail::new(root.path()) {
        Ok(jail) => feed("layer", |data| jail.unpack(data)),
        Err(error) => eprintln!("skipped on the native engine: a root of its own: {error}"),
    }
}
