#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container c {
            image "debian:12";
            env FAST = 1;
            env "FAST" = 2;
            label FAST = 1;
            label "com.example" = 1;
            label "com.example" = 2;
            sysctl "net.core.somaxconn" = 1;
            sysctl "net.core.somaxconn" = 2;
            exec ["true"];
            env FAST = 3;
            if true {
                env FAST = 4;
            }
            exec ["true"];
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        container c {
            image "debian:12";
            env FAST = 1;
            env "FAST" = 2;
            exec ["true"];
            env FAST = 3;
            if true {
                env FAST = 4;
            }
            exec ["true"];
        }
    };
    let _ = q.plan();
}
