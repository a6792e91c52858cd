use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose "6379";
            expose "80:8080";
            expose "127.0.0.1:53:5353/udp";
            expose "http";
            expose 80:8081;
            expose 443 on host "8443";
            expose [81, 82];
            expose ["83", "84:8084"];
            expose 8000-8009;
            ready http "/" on "8080";
        }
    };
    let _ = p;
}
