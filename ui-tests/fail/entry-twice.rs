#[bowline::test]
#[test]
async fn works() {}

#[bowline::main]
async fn main() {}
