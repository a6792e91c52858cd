#![deny(unused)]

use bowline::pipeline;
use bowline::prelude::*;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379 as tcp; }
        service bound { image "redis:7"; expose 6379; }
        service asked { image "redis:7"; expose 6379 as tcp; }
        cache data;
        cache kept;
        secret token = secret::env("TOKEN");
        dir source = host("./src");
        container base { image "debian:12"; }
        container never { image "debian:12"; exec ["true"]; }
        container _quiet { image "debian:12"; exec ["true"]; }
        container test { from base; bind bound; mount kept at "/kept"; exec ["true"]; }
        for round in 0..2 { container many { image "debian:12"; env ROUND = round; exec ["true"]; } }
    };
    drop(p.test.stdout());
    let _ = p.asked.tcp();
    let planned = pipeline! { container everything { image "debian:12"; exec ["true"]; } };
    let _ = planned.plan();
    let _ = ci().read;
    #[allow(unused)]
    let silent = pipeline! { cache data; };
}

pipeline! {
    fn ci() -> Ci;
    cache read;
    cache unread;
}

pipeline! {
    fn never() -> Never;
    cache data;
}
