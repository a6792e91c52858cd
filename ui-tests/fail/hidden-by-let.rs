use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        let redis = 5;
        container ping {
            image "redis:7";
            for redis in 0..3 { env A = redis; }
        }
    };
    let _ = p;
}
