#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis {
            image "registry.example:5000/redis";
            expose 6379;
        }
        container ping {
            image "redis";
            bind redis;
            exec ["true"];
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        service redis {
            image "registry.example:5000/redis";
            expose 6379;
        }
        container ping {
            image "redis";
            bind redis;
            exec ["true"];
        }
    };
    let _ = q.plan();
}
