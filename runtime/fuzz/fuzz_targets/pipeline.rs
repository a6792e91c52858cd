#![no_main]
// The macro's own code: a crate of macros can be linked to by nothing but a compiler.
#![allow(dead_code, unused_imports)]

extern crate proc_macro;

#[path = "../../../macros/src/arguments.rs"]
mod arguments;
#[path = "../../../macros/src/ast.rs"]
mod ast;
#[path = "../../../macros/src/check/mod.rs"]
mod check;
#[path = "../../../macros/src/driver/mod.rs"]
mod driver;
#[path = "../../../macros/src/errors.rs"]
mod errors;
#[path = "../../../macros/src/expand/mod.rs"]
mod expand;
#[path = "../../../macros/src/keywords.rs"]
mod keywords;
#[path = "../../../macros/src/names.rs"]
mod names;
#[path = "../../../macros/src/parse/mod.rs"]
mod parse;
#[path = "../../../macros/src/paths.rs"]
mod paths;
#[path = "../../../macros/src/registry.rs"]
mod registry;
#[path = "../../../macros/src/rules.rs"]
mod rules;
#[path = "../../../macros/src/shadow/mod.rs"]
mod shadow;
#[path = "../../../macros/src/sizes.rs"]
mod sizes;
#[path = "../../../macros/src/spelling.rs"]
mod spelling;

use expand::Reader;
use proc_macro2::TokenStream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let Ok(tokens) = format!("bowline; {text}").parse::<TokenStream>() else { return };
    // What comes out is Rust, whatever went in.
    for reader in [Reader::Rustc, Reader::Editor] {
        let _ = driver::pipeline(tokens.clone(), reader);
    }
});
