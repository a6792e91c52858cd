#![deny(deprecated)]

use bowline::prelude::*;

pipeline! {
    fn ci(port: u16, dist: &str, stores: &[Service]) -> Ci;

    service web {
        image "nginx:1.22";
        expose (port) as port;
        ready http "/" on port;
    }
    container build {
        image "debian:12";
        bind web;
        for store in stores {
            bind store;
        }
        shell "make";
        export (dist) as dist;
    }
}

pipeline! {
    #[allow(deprecated)]
    fn silenced(port: u16) -> Silenced;

    service web { image "nginx:1.22"; expose (port) as port; }
}

fn main() {
    let _ = (ci(80, "/out/x", &[]).plan(), silenced(80).plan());
}
