use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service __redis { image "redis:7"; expose 6379; }
        service web { image "nginx:1.22"; expose 80 as __http; }
    };
    let _ = p;
}
