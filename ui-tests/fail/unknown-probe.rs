use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose 80;
            ready htttp "/x";
        }
        service api {
            image "nginx:1.22";
            expose 80;
            ready;
        }
        service db {
            image "postgres:15";
            expose 5432;
            ready eventually;
        }
    };
    let _ = p;
}
