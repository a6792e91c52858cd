#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service db {
            image "postgres:15";
            expose 5432;
        }
        service web {
            image "nginx:1.22";
            bind db;
            env DATABASE = "postgres://me@127.0.0.1/db";
            run ["serve", "--host", "localhost", "--port", "5432", "--own=localhost:80"];
            expose 80;
        }
        container client {
            image "postgres:15";
            bind db as "store";
            bind web;
            env WEB = "localhost:8080";
            exec ["psql", "-h", "localhost", "-c", "select 1"];
            exec ["pg_isready", "--host=127.0.0.1", "-p", "5432"];
            exec ["pg_isready", "--host=127.0.0.1", "-p", "5433"];
            shell "curl http://localhost/ | cat";
            shell "serve & curl http://localhost/";
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        service db {
            image "postgres:15";
            expose 5432;
        }
        service web {
            image "nginx:1.22";
            bind db;
            env DATABASE = "postgres://me@127.0.0.1/db";
            run ["serve", "--host", "localhost", "--port", "5432", "--own=localhost:80"];
            expose 80;
        }
        container client {
            image "postgres:15";
            bind db as "store";
            bind web;
            env WEB = "localhost:8080";
            exec ["psql", "-h", "localhost", "-c", "select 1"];
            exec ["pg_isready", "--host=127.0.0.1", "-p", "5432"];
            exec ["pg_isready", "--host=127.0.0.1", "-p", "5433"];
            shell "curl http://localhost/ | cat";
            shell "serve & curl http://localhost/";
        }
    };
    let _ = q.plan();
}
