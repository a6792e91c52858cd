#[bowline::test]
fn works() {}

#[bowline::main]
fn main() {}
