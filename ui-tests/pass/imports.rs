//! Handles from plain Rust and from other pipelines.
#![deny(warnings)]

use bowline::{CacheVolume, Container, Directory, File, Service, pipeline};

fn client(db: &Service, base: Container, caches: &[CacheVolume], source: Directory, config: &File) -> Container {
    let p = pipeline! {
        service db = db;
        container base = base;
        dir source = source.directory("x");
        file config = config.clone();
        container client {
            from base;
            bind db;
            mount source at "/src";
            mount config at "/config";
            mount (config.clone()) at "/again";
            for (index, volume) in caches.iter().enumerate() { mount volume at format!("/cache/{index}"); }
            exec ["true"];
        }
    };
    p.client
}

fn main() {
    let other = pipeline! {
        service db { image "postgres:15"; expose 5432 as sql; }
        container base { image "debian:12"; exec ["true"]; export "/out/" as out; export "/etc/config" as config; }
    };
    // The handles of another pipeline are newtypes, which are lent as what they are.
    let p = pipeline! {
        service db = other.db;
        container base = &other.base;
        service again = std::rc::Rc::new(other.db.clone());
        container c { from base; bind db; bind again; bind (other.db) as "third"; exec ["true"]; }
    };
    let config = other.base.config();
    let _ = client(&other.db, p.base, &[CacheVolume::new("a")], other.base.out(), &config);
    let _ = (p.c, p.db, p.again);
}
