use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["false"] { expect failur; }
            exec ["false"] { expect nothing; }
            exec ["false"] { expect; }
        }
    };
    let _ = p;
}
