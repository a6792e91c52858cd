use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        service proxy { image "nginx:1.22"; hostname "store"; bind redis as "Store"; expose 80; }
        container app {
            image "debian:12";
            hostname "redis";
            bind redis;
            bind proxy;
            exec ["true"];
        }
    };
    let _ = p;
}
