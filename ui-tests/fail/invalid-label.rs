use bowline::pipeline;

fn main() {
    let p = pipeline! {
        container a {
            image "debian:12";
            label "" = "x";
            label "two words" = "x";
            label "bowline.session" = "x";
            label = "x";
        }
    };
    let _ = p;
}
