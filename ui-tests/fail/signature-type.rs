use bowline::pipeline;

pipeline! {
    fn all_tests();
    container c { image "debian:12"; }
}

pipeline! {
    fn list() -> Vec<List>;
    container c { image "debian:12"; }
}

pipeline! {
    fn tuple() -> (One, Two);
    container c { image "debian:12"; }
}

pipeline! {
    fn path() -> Result<crate::Path, String>;
    container c { image "debian:12"; }
}

fn main() {}
