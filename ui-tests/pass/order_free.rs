//! Declarations in any order: services, values and imports named before they stand.
#![deny(warnings)]

use bowline::{Service, pipeline};

fn main() {
    let shared = Service::from_image("postgres:15").expose(5432u16);
    let p = pipeline! {
        container test {
            from build;
            after migrate;
            bind api;
            bind db;
            mount data at "/data";
            mount source at "/src";
            env KEY = late.key();
            exec ["test"];
        }
        for _ in 0..1 { container in_for { image "x:1"; bind db; mount late at "/late"; } }
        container migrate { image "x:1"; exec ["migrate"]; }
        service api { image "x:1"; bind db as "postgres"; expose 80; }
        container build { image "x:1"; exec ["build"]; }
        service db = &shared;
        cache late = format!("key-{}", 1);
        dir source = build.directory("/src");
        cache data;
    };
    let _ = (p.plan(), p.test, p.in_for, p.migrate, p.api, p.build, p.db, p.late, p.source, p.data);
}
