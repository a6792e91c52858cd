use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis {
            image "redis:7"
            expose 6379
        }
        cache data
        cache wheels = "wheels"
        container ping {
            image "redis:7";
            bind redis as "srv"
            exec ["redis-cli"]
            if true { env A = "b" }
            let x = 5
            mount data at "/data"
        }
    };
    let _ = p;
}
