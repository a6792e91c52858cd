use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 53;
            expose 53/udp;
            expose 53/tcp as dns;
            if true { expose 8080; } else { expose 8080; }
        }
    };
    let _ = p;
}
