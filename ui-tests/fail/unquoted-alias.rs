use bowline::pipeline;

fn main() {
    let outside = "redis";
    let p = pipeline! {
        service db {
            image "redis:7";
            expose 6379;
        }
        let inside = "store";
        container client {
            image "redis:7";
            bind db as cache;
            bind db as my-db;
            bind db as db;
            bind db as outside;
            bind db as (outside);
            bind db as inside;
            bind db as OUTSIDE;
        }
    };
    let _ = p;
}

const OUTSIDE: &str = "constant";
