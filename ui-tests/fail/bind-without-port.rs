use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service db { image "postgres:15"; }
        service api { image "acme/api:2"; if true { expose 80; } }
        container app {
            image "debian:12";
            bind db;
            bind api;
        }
    };
    let _ = p;
}
