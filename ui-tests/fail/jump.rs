use bowline::pipeline;

fn main() {
    let p = pipeline! {
        for x in 0..5 {
            if x == 3 { break; }
            container a {
                image "redis:7";
                for y in 0..5 { if y == x { continue; } exec ["true"]; }
            }
        }
    };
    let _ = p;
}
