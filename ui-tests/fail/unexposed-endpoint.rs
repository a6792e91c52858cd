use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container c {
            image "redis:7";
            bind db;
            env URL = format!("postgres://{}", db.endpoint_on(5433));
            env ADMIN = (db.endpoint_on(8080), 1).0.to_string();
            exec ["true"];
        }
        service db { image "postgres:15"; expose 5432 as sql; if true { expose 8080; } expose 53/udp; }
        service untyped { image "x:1"; expose 80; run [untyped_port(&db.endpoint_on(5432).to_string())]; }
        container d { image "redis:7"; bind untyped; env ANY = untyped.endpoint_on(81).to_string(); exec ["true"]; }
    };
    let _ = p;
}

fn untyped_port(url: &str) -> &str {
    url
}
