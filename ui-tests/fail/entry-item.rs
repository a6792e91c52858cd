#[bowline::main]
struct Main;

#[bowline::test]
mod tests {}

fn main() {}
