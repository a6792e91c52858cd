use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service api {
            image "acme/api:2";
            expose 80;
            expose 8080 as admin;
            ready http "/healthz" on admn;
        }
        service web {
            image "nginx:1.22";
            expose 80;
            ready http "/" on http;
        }
    };
    let _ = p;
}
