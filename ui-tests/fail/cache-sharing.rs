use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache pip lockd;
        cache apt shared = "apt";
    };
    let _ = p;
}
