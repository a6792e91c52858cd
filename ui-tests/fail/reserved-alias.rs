use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service localhost { image "redis:7"; expose 6379; }
        container app {
            image "debian:12";
            bind localhost;
            bind localhost as "host.docker.internal";
            bind localhost as "Bowline";
            bind localhost as "db.localhost";
        }
    };
    let _ = p;
}
