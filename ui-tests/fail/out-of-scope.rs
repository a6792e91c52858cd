use bowline::pipeline;

fn main() {
    let p = pipeline! {
        for version in ["7", "6"] {
            service redis { image format!("redis:{version}"); expose 6379; }
        }
        if true {
            container migrate { image "redis:7"; }
        }
        container ping {
            image "redis:7";
            bind redis;
            after migrate;
        }
    };
    let _ = p;
}
