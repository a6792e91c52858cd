#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            bind redis;
            bind redis as "db";
            exec ["true"];
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        service redis {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            bind redis;
            bind redis as "db";
            exec ["true"];
        }
    };
    let _ = q.plan();
}
