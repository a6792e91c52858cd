use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        service postgres { image "postgres:15"; expose 5432; }
        container app {
            image "debian:12";
            bind redis as "db";
            bind postgres as "DB";
            bind redis;
            bind redis as "redis";
            bind postgres as "redis";
            if true { bind postgres as "x"; } else { bind redis as "x"; }
        }
    };
    let _ = p;
}
