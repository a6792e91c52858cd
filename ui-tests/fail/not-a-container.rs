use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service db { image "postgres:15"; expose 5432; }
        cache data;
        container test {
            image "debian:12";
            after db;
            after data;
        }
        container other { from db; }
        container image { from "debian:12"; }
    };
    let _ = p;
}
