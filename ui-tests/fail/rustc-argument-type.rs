use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["echo", 5, ()];
            env A = ();
            workdir 5;
        }
    };
    let _ = p;
}
