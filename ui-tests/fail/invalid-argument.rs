use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "debian:12";
            run ["sh", "-c", "a\0b"];
            expose 80;
        }
        container a {
            image "debian:12";
            env NAME = "a\0b";
            exec ["ls", "\0"];
            shell "ls \0";
        }
    };
    let _ = p;
}
