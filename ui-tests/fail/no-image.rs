use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service redis { expose 6379; }
        container ping { exec ["true"]; }
    };
    let _ = p;
}
