use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80 as http;
            expose 8080 as http;
            if true { expose 81 as admin; } else { expose 82 as admin; }
        }
    };
    let _ = p;
}
