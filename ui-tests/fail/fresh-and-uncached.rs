use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["date"] {
                fresh "1h";
                uncached;
            }
        }
    };
    let _ = p;
}
