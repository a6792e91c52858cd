use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            limit memory "512 megs";
            limit memory "512";
        }
    };
    let _ = p;
}
