//! A function, and the types of what it gives, in place of a value.
#![deny(warnings, clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]

use bowline::pipeline;
use bowline::prelude::*;

pipeline! {
    /// The whole of CI.
    pub(crate) fn ci(version: &str, workers: usize) -> Ci;

    /// The store.
    service redis { image format!("redis:{version}"); expose 6379 as tcp; }
    for worker in 0..workers {
        container work { image "redis:7"; bind redis; env WORKER = worker; export "/out/" as out; }
    }
    container report { image "debian:12"; exec ["true"]; export "/report" as text; }
}

pipeline! {
    fn empty() -> Empty;
}

/// Of every visibility, in a module.
mod deep {
    use bowline::pipeline;

    pipeline! {
        pub(super) fn shared() -> Shared;
        service db { image "postgres:15"; expose 5432 as sql; }
    }
}

mod outcomes {
    use bowline::pipeline;

    #[derive(Debug)]
    pub(crate) struct Wrong;

    pipeline! {
        pub(crate) fn parsed(port: &str) -> Result<Parsed, std::num::ParseIntError>;
        service api { image "acme/api:2"; expose (port.parse()?) as http; }
    }

    pipeline! {
        pub(crate) fn aliased(is_wrong: bool) -> bowline::Result<Aliased>;
        let wrong = || bowline::Error::other("wrong");
        let path = if is_wrong { return Err(wrong()) } else { "/x" };
        container c { image "acme/api:2"; workdir path; }
    }

    pipeline! {
        pub(crate) fn maybe(list: &[&str]) -> Option<Maybe>;
        container c { image *list.first()?; }
    }

    pipeline! {
        #[allow(clippy::unused_async)]
        pub(crate) async fn awaited() -> core::result::Result<Awaited, Wrong>;
        let tag = async { "7" }.await;
        container c { image format!("redis:{tag}"); }
    }
}

pipeline! {
    fn generic<'a, T: ToString, const N: usize>(names: [&'a str; N], (low, high): (T, T), db: &Service) -> Generic
    where
        T: Clone;

    // A parameter, under its own name.
    service db = db;
    for name in names {
        container c {
            image "debian:12";
            bind db as "db";
            env NAME = name;
            env LOW = low.to_string();
            env HIGH = high.to_string();
        }
    }
}

fn mounts(_: &Directory) {}

pipeline! {
    fn with(source: Directory, cache: &CacheVolume) -> With;
    container c { image "debian:12"; mount source at "/src"; mount cache at "/cache"; copy source to "/copy"; exec ["true"]; }
}

/// Handles are of types with names: they can be asked for.
fn url(redis: &CiRedis) -> String {
    format!("redis://{}:{}", redis.hostname(), redis.tcp().port())
}

fn main() {
    let p: Ci = ci("7", 2);
    assert_eq!((p.work.len(), url(&p.redis)), (2, format!("redis://{}:6379", p.redis.hostname())));
    mounts(&p.work[0].out());
    let _: (File, Plan) = (p.report.text(), p.plan());
    let _: Empty = empty();
    let shared: deep::Shared = deep::shared();
    assert_eq!(shared.db.sql().port(), 5432);
    assert_eq!(outcomes::parsed("80").unwrap().api.http().port(), 80);
    assert!(outcomes::parsed("x").is_err() && outcomes::aliased(true).is_err());
    assert!(outcomes::aliased(false).is_ok() && outcomes::maybe(&[]).is_none());
    let _ = outcomes::awaited();
    assert_eq!(generic(["a", "b"], (1, 2), &shared.db).c.len(), 2);
    let _ = with as fn(Directory, &CacheVolume) -> With;
}
