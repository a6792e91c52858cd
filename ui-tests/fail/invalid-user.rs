use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            user ":";
            user "app:";
            user "a:b:c";
            user "4294967295";
        }
    };
    let _ = p;
}
