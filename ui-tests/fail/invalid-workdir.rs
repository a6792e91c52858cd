use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            workdir "";
            workdir "/a\0b";
        }
    };
    let _ = p;
}
