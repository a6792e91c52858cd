use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container build {
            image "rust:1.95";
            export "/a" as stdout;
        }
    };
    let _ = p;
}
