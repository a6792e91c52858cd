use bowline::prelude::*;

pipeline! {
    fn ci(name: &str) -> Ci;

    container parameter {
        image "debian:12";
        env name = "x";
        label name = "x";
        env NAME = name;
    }
}

fn main() {
    let p = pipeline! {
        for (key, value) in [("A", "1"), ("B", "2")] {
            container around { image "debian:12"; env key = value; }
        }
        container inside {
            image "debian:12";
            let version = "1.2";
            env version = version;
            for (key, value) in [("A", "1"), ("B", "2")] {
                env key = value;
            }
            if let Some(r#type) = Some("x") {
                env r#type = 1;
            }
            env (version) = version;
            env "version" = version;
            env VERSION = version;
        }
    };
    let _ = (p, ci("x"));
}
