//! `match` around items and statements, with guards and bindings.
#![deny(warnings)]

use bowline::pipeline;

enum Database {
    Postgres(u32),
    Redis { tag: String },
    None,
}

fn declared(database: &Database) -> (bool, bool) {
    let p = pipeline! {
        match database {
            Database::Postgres(version) if *version > 14 => {
                service postgres { image format!("postgres:{version}"); expose 5432; }
            }
            Database::Redis { tag } => {
                service redis { image format!("redis:{tag}"); expose 6379 as tcp; }
            }
            Database::Postgres(_) | Database::None => {}
        }
        container c {
            match database {
                Database::Postgres(version) => { image "postgres:15"; env VERSION = *version; }
                Database::Redis { tag } => { image "redis:7"; env TAG = tag; }
                Database::None => { image "debian:12"; }
            }
            exec ["true"];
        }
    };
    (p.postgres.is_some(), p.redis.is_some_and(|redis| redis.tcp().port() == 6379))
}

fn main() {
    assert_eq!(declared(&Database::Postgres(15)), (true, false));
    assert_eq!(declared(&Database::Redis { tag: "7".to_owned() }), (false, true));
    assert_eq!(declared(&Database::None), (false, false));
}
