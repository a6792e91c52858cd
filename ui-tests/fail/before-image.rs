use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container ping {
            env A = "b";
            exec ["true"];
            image "redis:7";
        }
    };
    let _ = p;
}
