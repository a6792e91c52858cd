use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a { image "redis:"; }
        container b { image "Redis:7"; }
        container c { image "redis@sha256:12"; }
        container d { image ""; }
    };
    let _ = p;
}
