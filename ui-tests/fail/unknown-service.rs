use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        container ping {
            image "redis:7";
            bind rediz as "redis-srv";
            bind postgres;
        }
    };
    let _ = p;
}
