use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379; }
        container app {
            image "debian:12";
            bind redis as "my_db";
            bind redis as "-x";
            bind redis as "10.0.0.1";
            bind redis as "";
            bind redis as "1";
            bind redis as "0x7f";
            bind redis as "db.";
        }
    };
    let _ = p;
}
