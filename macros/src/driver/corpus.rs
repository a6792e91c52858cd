//! The corpus of the fuzz target `pipeline`, and mutations of it: whatever goes in, Rust comes out.

use proc_macro2::TokenStream;

use super::pipeline;
use crate::expand::Target;

/// How many mutations of each corpus entry are tried.
const MUTATIONS: u64 = 200;

fn survives(text: &str) {
    let Ok(tokens) = format!("bowline; {text}").parse::<TokenStream>() else { return };
    for target in [Target::Rustc, Target::Editor] {
        let expanded = pipeline(tokens.clone(), target).to_string();
        assert!(expanded.parse::<TokenStream>().is_ok(), "{text}\n\n{expanded}");
    }
}

/// Removes, repeats or moves a few words.
fn mutated(text: &str, mut number: u64) -> String {
    let mut words: Vec<&str> = text.split_inclusive([' ', ';', '"', '[', '{']).collect();
    let mut next = |below: usize| {
        // xorshift (Marsaglia 2003)
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        usize::try_from(number % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for _ in 0..=next(3) {
        let (from, to) = (next(words.len()), next(words.len()));
        match next(3) {
            _ if words.is_empty() => {}
            0 => drop(words.remove(from)),
            1 => words.insert(to, words[from]),
            _ => words.swap(from, to),
        }
    }
    words.concat()
}

#[test]
fn any_input_expands_to_rust() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/fuzz/corpus/pipeline");
    let mut inputs = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        survives(&text);
        (1..=MUTATIONS)
            .for_each(|number| survives(&mutated(&text, number.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
        inputs += 1;
    }
    assert!(inputs > 0);
}
