use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            platform "linux/amd64";
            platform "linux/arm64";
            expose 80;
            run ["a"];
            run ["b"];
            stop "SIGINT";
            stop "SIGTERM";
            linger "5s";
            if true { linger "6s"; }
        }
    };
    let _ = p;
}
