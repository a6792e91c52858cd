use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container build {
            image "rust:1.95";
            for name in ["a", "b"] { export (format!("/{name}")) as binary; }
        }
    };
    let _ = p;
}
