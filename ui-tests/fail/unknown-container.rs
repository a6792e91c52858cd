use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container migrate { image "debian:12"; }
        container test {
            image "debian:12";
            after migrat;
        }
        service s {
            from nothing;
            expose 80;
        }
    };
    let _ = p;
}
