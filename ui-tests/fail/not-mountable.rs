use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service db { image "postgres:15"; expose 5432; }
        container build { image "debian:12"; }
        container a {
            image "debian:12";
            mount db at "/db";
            mount build at "/build";
            mount "./src" at "/src" readonly;
        }
    };
    let _ = p;
}
