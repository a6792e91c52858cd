use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service api {
            image "acme/api:2";
            ready http "/healthz";
        }
        service dns {
            image "acme/dns:2";
            expose 53/udp;
            ready http "/healthz";
        }
        service db {
            image "postgres:15";
            ready port within "5s";
        }
    };
    let _ = p;
}
