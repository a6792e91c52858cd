use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container base { image "debian:12"; platform "linux/amd64"; exec ["true"]; }
        container late { image "debian:12"; exec ["true"]; platform "linux/amd64"; }
        container other { from base; platform "linux/arm64"; }
    };
    let _ = p;
}
