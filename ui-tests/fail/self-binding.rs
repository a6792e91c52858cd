use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service db {
            image "postgres:15";
            expose 5432;
            bind db;
        }
    };
    let _ = p;
}
