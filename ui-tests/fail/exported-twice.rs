use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container build {
            image "rust:1.95";
            export "/a" as binary;
            export "/b" as binary;
            if true { export "/c" as report; } else { export "/c/" as report; }
        }
    };
    let _ = p;
}
