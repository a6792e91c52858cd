use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            cap add "NET_ADMN";
            cap drop "CAP_CHWON";
            cap add "root";
            exec ["true"];
        }
    };
    let _ = p;
}
