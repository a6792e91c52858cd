use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            cap remove "CHOWN";
            cap;
            exec ["true"];
        }
    };
    let _ = p;
}
