//! `#[bowline::main]` keeps the return type, attributes and visibility.
#![deny(warnings)]

use bowline::prelude::*;

#[bowline::test]
#[ignore = "only compiled"]
async fn ignored() -> Result<()> {
    let _ = pipeline! { container c { image "debian:12"; } };
    Ok(())
}

#[bowline::test]
#[should_panic(expected = "on purpose")]
async fn panics() {
    panic!("on purpose");
}

/// Documented.
#[bowline::main]
#[allow(clippy::unnecessary_wraps)]
pub async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let _ = pipeline! { container c { image "debian:12"; } };
    let number: u16 = "5".parse()?;
    async { assert_eq!(number, 5) }.await;
    Ok(())
}
