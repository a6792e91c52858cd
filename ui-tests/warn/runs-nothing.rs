#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container idle {
            image "debian:12";
            env MODE = "idle";
        }
        container written {
            image "debian:12";
            file "/x" = "y";
        }
        container grown {
            from written;
        }
        container last {
            image "debian:12";
            after idle;
            after written;
            after grown;
            exec ["true"];
        }
    };
    let _ = p.plan();
}
