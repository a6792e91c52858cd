use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            limit pids 0;
            limit pids 1;
            limit pids 5_000_000;
            limit nofile -1;
            limit nofile 99999999999999999999999999999999999999999999;
        }
        service s {
            image "nginx:1.22";
            limit nofile 0x8000_0000;
            expose 80;
        }
    };
    let _ = p;
}
