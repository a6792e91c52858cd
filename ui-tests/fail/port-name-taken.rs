use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80 as hostname;
            expose 81 as start;
        }
    };
    let _ = p;
}
