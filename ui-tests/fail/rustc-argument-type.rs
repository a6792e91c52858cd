use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["echo", 5, ()];
            exec ["login", bowline::Secret::env("TOKEN")];
        }
    };
    let _ = p;
}
