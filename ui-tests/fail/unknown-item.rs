use bowline::pipeline;

fn main() {
    let p = pipeline! {
        servce redis { image "redis:7"; expose 6379; }
        volume data;
        image "redis:7";
        container ping { image "redis:7"; bind redis; }
    };
    let _ = p;
}
