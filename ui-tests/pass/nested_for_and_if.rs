//! Items in control flow: lists, options, and names seen from inside.
#![deny(warnings, clippy::all, clippy::pedantic)]

use bowline::pipeline;

fn main() {
    let versions = ["7", "6"];
    let with_extra = true;
    let p = pipeline! {
        service shared { image "redis:7"; expose 6379; }
        for version in versions {
            service redis { image format!("redis:{version}"); expose 6379; instance version; }
            for client in 0..2 {
                if version != "6" {
                    container ping {
                        image "redis:7";
                        bind redis as "redis-srv";
                        bind shared;
                        if client == 0 { env FIRST = "yes"; } else if client == 1 { env SECOND = client; }
                        for extra in ["a", "b"] { exec ["echo", extra]; }
                        exec ["redis-cli", "-h", "redis-srv", "ping"];
                    }
                }
            }
        }
        if with_extra {
            container extra { image "debian:12"; after last; exec ["true"]; }
        }
        container last { image "debian:12"; exec ["true"]; }
    };
    let pings: &Vec<bowline::Container> = &p.ping;
    let extra: &Option<bowline::Container> = &p.extra;
    assert_eq!((p.redis.len(), pings.len(), extra.is_some()), (2, 2, true));
    let _ = p.plan();
}
