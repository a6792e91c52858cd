#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 8080 as http;
        }
        container client {
            image "debian:12";
            bind web as "www";
            exec ["wget", "http://www:8080/"];
            shell "wget http://www:9090/ | cat";
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        service web {
            image "nginx:1.22";
            expose 8080 as http;
        }
        container client {
            image "debian:12";
            bind web as "www";
            exec ["wget", "http://www:8080/"];
            shell "wget http://www:9090/ | cat";
        }
    };
    let _ = q.plan();
}
