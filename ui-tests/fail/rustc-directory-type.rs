use bowline::prelude::*;

fn main() {
    let p = pipeline! {
        dir source = host_file("./x");
        dir text = "./src";
        file config = host("./src");
        container c {
            image "debian:12";
            mount source at "/src";
        }
    };
    let _ = p;
}
