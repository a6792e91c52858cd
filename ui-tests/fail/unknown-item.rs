use bowline::pipeline;

fn main() {
    let p = pipeline! {
        servce redis { image "redis:7"; expose 6379; }
        vault data;
        web { image "nginx:1.22"; expose 80; }
        image "redis:7";
        container ping { image "redis:7"; bind redis; }
    };
    let _ = p;
}
