use bowline::pipeline;
use bowline::prelude::*;

pipeline! {
    fn ci(redis: &Service, data: &str) -> Ci;
    service redis { image "redis:7"; expose 6379; }
    cache data;
}

pipeline! {
    fn tests(wanted: bool, db: &Service) -> Tests;
    if wanted {
        service db = db;
    }
}

fn main() {}
