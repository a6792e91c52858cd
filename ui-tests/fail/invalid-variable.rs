use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            env "A=B" = "c";
            env "1X" = 1;
            env "" = 1;
        }
    };
    let _ = p;
}
