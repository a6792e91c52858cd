use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container ping {
            image "redis:7";
            exec ["true"];
            image "redis:6";
        }
        container pong {
            if true { image "redis:7"; } else { image "redis:6"; }
        }
        container last {
            from pong;
            from pong;
        }
    };
    let _ = p;
}
