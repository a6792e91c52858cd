use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web = "nginx:1.22";
        dir source = "./src";
        container a {
            image "debian:12";
            bind web;
            mount source at "/src";
        }
    };
    let _ = p;
}
