use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis
        container ping;
        dir source;
        service;
        if true container c { image "redis:7"; }
    };
    let _ = p;
}
