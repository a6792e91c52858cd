use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        container ping {
            image "redis:7";
            bind data as "data";
        }
    };
    let _ = p;
}
