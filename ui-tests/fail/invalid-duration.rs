use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80;
            ready port within "10 parsecs";
            stop "SIGINT" within "5";
            linger "";
        }
        container a {
            image "debian:12";
            exec ["sleep", "1"] { timeout "soon"; fresh "today"; }
        }
    };
    let _ = p;
}
