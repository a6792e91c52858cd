use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis {
            image "redis:7";
            expoze 6379;
        }
        container ping {
            image "redis:7";
            execute ["redis-cli"];
            rootless;
            BIND redis;
            secret token;
            unprobed { a; b; }
            exec ["true"];
        }
    };
    let _ = p;
}
