use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data = "";
        cache wheels = "a\0b";
        container a {
            image "debian:12";
            mount data at "/data";
            mount wheels at "/wheels";
        }
    };
    let _ = p;
}
