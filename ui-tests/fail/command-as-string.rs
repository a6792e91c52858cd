use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec "redis-cli ping";
        }
        service b {
            image "debian:12";
            run "redis-server --appendonly yes";
            ready exec "redis-cli ping";
        }
    };
    let _ = p;
}
