#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service key_store {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            env URL = "redis://user@key-store:6379/0";
            exec ["redis-cli", "-u", "redis://elsewhere:6379"];
        }
        container good {
            image "redis:7";
            bind key_store;
            env URL = "redis://key-store";
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        service key_store {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            env URL = "redis://user@key-store:6379/0";
            exec ["redis-cli", "-u", "redis://elsewhere:6379"];
        }
        container good {
            image "redis:7";
            bind key_store;
            env URL = "redis://key-store";
        }
    };
    let _ = q.plan();
}
