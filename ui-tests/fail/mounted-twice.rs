use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        cache wheels;
        container a {
            image "debian:12";
            mount data at "/data";
            mount wheels at "/data/";
        }
    };
    let _ = p;
}
