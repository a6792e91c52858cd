use bowline::prelude::*;

fn main() {
    let token = Secret::env("TOKEN");
    println!("{token}");
    let _ = format!("Bearer {}", &token);
    let p = pipeline! {
        secret key = secret::env("KEY");
        container fetch {
            image "debian:12";
            exec ["fetch", format!("--token={key}"), token.to_string()];
            shell format!("fetch {}", key);
        }
    };
    let _ = p;
}
