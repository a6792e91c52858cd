use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            limit disk "5GB";
            limit;
        }
    };
    let _ = p;
}
