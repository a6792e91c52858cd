use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container base { image "debian:12"; }
        container ping {
            from base;
            image "redis:7";
        }
    };
    let _ = p;
}
