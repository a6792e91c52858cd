use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        container redis { image "redis:7"; }
        if true {
            container ping { image "redis:7"; }
        } else {
            container ping { image "redis:6"; }
        }
        cache data;
        for _ in 0..2 { cache data; }
    };
    let _ = p;
}
