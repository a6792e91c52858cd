use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80 as http;
        }
        container build {
            image "rust:1.95";
            export "/x" as binary;
        }
    };
    p.web.htp();
    p.build.binry();
    let _ = p;
}
