use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            exec ["cat"] { stdinn "x"; }
            exec ["cat"] { retries 3; "x"; }
            shell "cat" { stdout at "/x"; };
        }
    };
    let _ = p;
}
