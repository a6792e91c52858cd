use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service { image "redis:7"; }
        cache;
        container build {
            image "redis:7";
            export "/out/app" as;
            env = "x";
        }
        service web {
            image "nginx:1.22";
            expose 80 as;
        }
    };
    let _ = p;
}
