use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service a {
            image "x:1";
            expose 80;
            bind b;
        }
        service b {
            image "x:1";
            expose 80;
            bind c;
        }
        service c {
            image "x:1";
            expose 80;
            bind a;
            if true { bind d; }
        }
        service d {
            image "x:1";
            expose 80;
            bind c;
        }
    };
    let _ = p;
}
