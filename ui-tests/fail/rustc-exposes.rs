use bowline::pipeline;
use bowline::prelude::*;

fn migrate(db: &impl Exposes<5432>) -> Container {
    Container::from_image("acme/migrate:1").bind("db", db.service())
}

fn main() {
    let p = pipeline! {
        service redis { image "redis:7"; expose 6379 as tcp; }
        service web { image "nginx:1.22"; expose 80 as http; expose 443; expose 8443/udp; }
        service untyped { image "postgres:15"; expose 5432; }
        if true {
            service maybe { image "postgres:15"; expose 5432 as sql; }
        }
    };
    migrate(&p.redis);
    migrate(&p.web);
    migrate(&p.untyped);
    let _ = p.redis.endpoint_on::<6380>();
    let _ = p.web.endpoint_on::<8443>();
    let _ = p.web.endpoint_on(80);
    let _ = p.maybe.map(|maybe| maybe.endpoint_on::<5433>());
}
