#![deny(deprecated)]

use bowline::pipeline;

fn main() {
    let key = "A";
    let p = pipeline! {
        container c {
            image "debian:12";
            env key = "x";
            env "name" = "y";
            env (key) = "z";
            env http_proxy = "http://proxy:3128";
            env Mixed = "x";
            label key = "x";
        }
    };
    let _ = p.plan();
    #[allow(deprecated)]
    let q = pipeline! {
        container c { image "debian:12"; env key = key; }
    };
    let _ = q.plan();
}
