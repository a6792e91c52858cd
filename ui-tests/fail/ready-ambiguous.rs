use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service api {
            image "acme/api:2";
            expose 80;
            expose 8080 as admin;
            ready http "/healthz";
        }
    };
    let _ = p;
}
