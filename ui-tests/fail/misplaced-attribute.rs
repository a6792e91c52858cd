use bowline::pipeline;

fn main() {
    let p = pipeline! {
        #[derive(Debug)]
        service web {
            image "nginx:1.22";
            /// Not here.
            expose 80;
        }
        /// Nor here.
        if true {
            container c { image "redis:7"; }
        }
    };
    let _ = p;
}
