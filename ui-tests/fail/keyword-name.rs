use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service type { image "redis:7"; expose 6379; }
        container self { image "redis:7"; }
        service web { image "nginx:1.22"; expose 80 as fn; }
        container build { image "rust:1.95"; export "/x" as match; }
    };
    let _ = p;
}
