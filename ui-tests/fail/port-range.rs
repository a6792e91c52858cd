use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 70000;
            expose 0 as http;
            expose 99999999999999999999999999999999999999999999/udp;
            ready http "/x" on 65536;
        }
    };
    let _ = p;
}
