//! The cost of expansion, a benchmark to be run by hand:
//! `cargo test --release -p bowline-macros -- --ignored --nocapture expansion_cost`

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proc_macro2::TokenStream;

use super::pipeline;
use crate::expand::Target;

/// Half services, half containers, each with a typical body, bound to the items before it.
fn source(items: usize) -> String {
    let mut source = String::from("::bowline; cache data;");
    for index in 0..items / 2 {
        let _ = write!(
            source,
            r#"
            /// A service.
            service s{index} {{ image "redis:7"; env A = "b"; mount data at "/data"; expose 6379 as tcp; linger "1s"; }}
            container c{index} {{
                image format!("debian:{{}}", 12);
                bind s{index} as "db";
                env URL = "redis://db:6379";
                exec ["redis-cli", "-h", "db", "ping"];
                export "/out" as out;
            }}"#
        );
    }
    source
}

fn fastest(input: &TokenStream, target: Target) -> Duration {
    let once = || {
        let input = input.clone();
        let start = Instant::now();
        std::hint::black_box(pipeline(input, target));
        start.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

#[test]
#[ignore = "a measurement"]
fn expansion_cost() {
    println!("items      rustc     editor");
    for items in [10, 100, 1000] {
        let input: TokenStream = source(items).parse().unwrap();
        let [rustc, editor] = [Target::Rustc, Target::Editor].map(|target| fastest(&input, target));
        println!("{items:>5} {:>7.2} ms {:>7.2} ms", millis(rustc), millis(editor));
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
