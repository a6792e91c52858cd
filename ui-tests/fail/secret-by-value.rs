use bowline::{pipeline, secret};

fn main() {
    let p = pipeline! {
        secret token = secret::env("TOKEN");
        container a {
            image "debian:12";
            env TOKEN = token;
            env "token" = token;
            env GOOD = &token;
            exec ["true"];
        }
    };
    let _ = p;
}
