use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80;
            stop "SIGTREM";
        }
    };
    let _ = p;
}
