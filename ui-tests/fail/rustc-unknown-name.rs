use bowline::pipeline;

fn main() {
    let versions = 3;
    let p = pipeline! {
        service web {
            image format!("nginx:{version}");
            expose port;
        }
    };
    let _ = p;
}
