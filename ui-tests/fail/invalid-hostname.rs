use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            hostname "my_host";
        }
    };
    let _ = p;
}
