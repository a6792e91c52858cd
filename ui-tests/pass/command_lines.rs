//! What a pipeline with a command line may look like.

#![deny(warnings)]
#![warn(missing_docs, unreachable_pub)]

use bowline::prelude::*;

mod sync {
    use bowline::prelude::*;

    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Level {
        Low,
        High,
    }

    impl std::str::FromStr for Level {
        type Err = String;

        fn from_str(text: &str) -> std::result::Result<Self, String> {
            match text {
                "low" => Ok(Self::Low),
                "high" => Ok(Self::High),
                _ => Err(format!("`{text}` is no level")),
            }
        }
    }

    pipeline! {
        /// Every type that a flag can have.
        pub(crate) fn ci<'a>(
            /// Which
            #[flag(default = "7", short = 'V', value = "X")]
            version: &'a str,
            mut level: Level,
            quick: bool,
            r#type: Option<&str>,
            several: Vec<&str>,
            #[flag(default = -1)] below: i64,
            ports: std::vec::Vec<u16>,
            at: Option<std::path::PathBuf>,
        ) -> Ci;

        container c {
            image format!("redis:{version}");
            env LEVEL = { if quick { level = Level::Low; } format!("{level:?}") };
            env TYPE = r#type.unwrap_or("none");
            env MANY = several.len() + ports.len() + usize::from(at.is_some());
            env BELOW = below;
            exec ["true"];
        }
    }

    pub(crate) fn both() -> [Ci; 2] {
        let ci = |level| ci("7", level, true, None, vec!["a"], 0, vec![], None);
        [ci(Level::High), ci(Level::Low)]
    }

    pub(crate) mod inner {
        bowline::cli!(super::ci);

        pub(crate) fn call() -> std::process::ExitCode {
            main()
        }
    }
}

mod failing {
    use bowline::prelude::*;

    pipeline! {
        pub(crate) async fn ci(port: &str) -> Result<Ci, Box<dyn std::error::Error + Send + Sync>>;
        container c { image "redis:7"; env PORT = port.parse::<u16>()?; exec ["true"]; }
    }

    pub(crate) mod inner {
        use super::ci;
        bowline::cli!(ci);

        pub(crate) fn call() -> std::process::ExitCode {
            main()
        }
    }
}

mod without {
    bowline::pipeline! {
        fn ci() -> Option<Ci>;
        container c { image "redis:7"; exec ["true"]; }
    }
    bowline::cli!(ci);

    pub(crate) fn call() -> std::process::ExitCode {
        main()
    }
}

// A name that a macro has too.
pipeline! {
    fn vec() -> Several;
    container c { image "redis:7"; exec ["true"]; }
}

fn main() {
    let _ = (vec![vec()], sync::both(), sync::inner::call as fn() -> _, without::call as fn() -> _);
    let _ = failing::inner::call as fn() -> _;
    // In a block, beside one of the same name outside.
    pipeline! {
        fn ci() -> Ci;
        container c { image "redis:7"; exec ["true"]; }
    }
    let _ = ci();
}
