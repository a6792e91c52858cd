use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose true;
        }
    };
    let _ = p;
}
