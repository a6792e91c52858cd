use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["cat"] {
                timeout "5s";
                stdin "x";
                timeout "6s";
            }
        }
    };
    let _ = p;
}
