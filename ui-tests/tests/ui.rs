//! What users see when they make a mistake, one case a rule, and what must compile.
//!
//! `TRYBUILD=overwrite cargo test -p bowline-ui-tests` writes the `.stderr` files; read what it wrote.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    cases.compile_fail("fail/*.rs");
    // Warnings, made errors of.
    cases.compile_fail("warn/*.rs");
}
