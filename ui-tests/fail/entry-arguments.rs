#[bowline::test]
async fn takes(version: &str) {
    let _ = version.len();
}

#[bowline::test]
async fn generic<T: Default>() {
    let _ = T::default();
}

#[bowline::main]
async fn main(arguments: Vec<String>) {
    let _ = arguments.len();
}
