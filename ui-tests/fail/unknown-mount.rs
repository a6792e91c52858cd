use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache source;
        container a {
            image "debian:12";
            mount sorce at "/src";
            mount anything at "/x";
        }
    };
    let _ = p;
}
