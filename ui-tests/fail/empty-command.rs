use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec [];
        }
        service b {
            image "debian:12";
            run [];
            ready exec [];
        }
    };
    let _ = p;
}
