use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container ping { image "redis:7"; }
        container pong {
            image "redis:7";
            bind ping;
        }
    };
    let _ = p;
}
