use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a { image "x:1"; after b; }
        container b { from c; }
        container c { image "x:1"; after a; }
        container alone { image "x:1"; after alone; }
        service db { from seed; expose 5432; }
        container seed { image "x:1"; bind db; }
    };
    let _ = p;
}
