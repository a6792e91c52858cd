//! Functions that ask for a port, and who may call them.
#![deny(warnings, clippy::all, clippy::pedantic)]

use bowline::pipeline;
use bowline::prelude::*;

fn url(db: &impl Exposes<5432>) -> String {
    format!("postgres://{}", db.service().endpoint_on(5432))
}

fn tls<T: Exposes<80> + Exposes<443>>(web: &T) -> &Service {
    <T as Exposes<443>>::service(web)
}

pipeline! {
    fn typed(replicas: usize, db: &Service) -> Typed;

    service sql { image "postgres:15"; expose 5432 as sql; expose 0x50; }
    service web { image "nginx:1.22"; expose 80 as http; expose 443; expose 53/udp as dns; }
    for replica in 0..replicas {
        service replica_of { image "postgres:15"; expose 5432 as sql; instance replica; }
    }
    if replicas == 0 {
        service spare { image "postgres:15"; expose 5432 as sql; }
    }
    container test {
        image "debian:12";
        bind sql;
        env DB = url(&sql.exposing().expect("sql exposes 5432"));
        env SAME = sql.endpoint_on(5432).to_string();
        exec ["true"];
    }
    service imported = db;
    service plain { image "postgres:15"; expose 5432; }
}

fn main() -> Result<()> {
    let db = Service::from_image("postgres:15").expose(5432);
    let p = typed(2, &db);
    let mut urls: Vec<String> = p.replica_of.iter().map(url).collect();
    urls.extend([url(&p.sql), url(&p.imported.exposing()?), url(&p.plain.exposing()?)]);
    urls.extend(p.spare.iter().map(url));
    assert_eq!(urls.len(), 5);
    assert_eq!(p.sql.endpoint_on::<5432>(), p.sql.sql());
    assert_eq!(p.sql.endpoint_on::<80>().port(), 80);
    assert_eq!(tls(&p.web).hostname(), p.web.hostname());
    let error = p.plain.exposing::<80>().unwrap_err().to_string();
    assert!(error.contains("does not expose TCP port 80") && error.contains("it exposes 5432"), "{error}");
    Ok(())
}
