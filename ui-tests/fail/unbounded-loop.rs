use bowline::pipeline;

fn main() {
    let p = pipeline! {
        while true {
            container a { image "redis:7"; }
        }
        container b {
            image "redis:7";
            loop { exec ["true"]; }
        }
    };
    let _ = p;
}
