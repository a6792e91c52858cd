use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service localhost { image "redis:7"; expose 6379; }
        container app {
            image "debian:12";
            bind localhost;
            bind localhost as "host.docker.internal";
        }
    };
    let _ = p;
}
