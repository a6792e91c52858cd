use bowline::prelude::*;

mod pipelines {
    use bowline::prelude::*;

    pipeline! {
        pub fn ci(db: &Service, tags: &[String], either: Option<(u8, u8)>, version: &str) -> Ci;
        container c {
            image "debian:12";
            bind db as "db";
            env TAGS = tags.len();
            env EITHER = either.map_or(0, |(a, b)| a + b);
            env VERSION = version;
            exec ["true"];
        }
    }

    pipeline! {
        pub fn generic<T: Into<String>>(text: T) -> Generic;
        container c { image "debian:12"; env TEXT = text.into(); exec ["true"]; }
    }

    pub struct Level;

    pipeline! {
        pub fn levels(level: Level, #[flag(default = "no")] quick: bool) -> Levels;
        container c { image "debian:12"; env LEVEL = { let Level = level; quick.to_string() }; exec ["true"]; }
    }

    pipeline! {
        pub fn unparsed(level: Option<Level>, port: std::num::NonZeroU16) -> Unparsed;
        container c { image "debian:12"; env LEVEL = level.is_some().to_string(); env PORT = port.get(); exec ["true"]; }
    }
}

// Whoever calls it from Rust may give it anything.
pipeline! {
    fn by_hand(db: &Service) -> ByHand;
    container c { image "debian:12"; bind db as "db"; exec ["true"]; }
}

mod a {
    bowline::cli!(crate::pipelines::ci);
}

mod b {
    bowline::cli!(super::pipelines::generic);
}

mod c {
    use crate::pipelines::levels;
    bowline::cli!(levels);
}

mod d {
    bowline::cli!(super::pipelines::unparsed);
}

mod e {
    bowline::cli!(super::pipelines::absent);
}

fn main() {
    by_hand(&Service::empty());
}
