use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a { image "debian:12"; platform "arm64"; }
        container b { image "debian:12"; platform "linux/aarch64"; }
        container c { image "debian:12"; platform "darwin/arm64"; }
        container d { image "debian:12"; platform "linux/am64"; }
        container e { image "debian:12"; platform "Linux/amd64"; }
    };
    let _ = p;
}
