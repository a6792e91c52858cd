use bowline::pipeline;

struct Services { redis: bowline::Service }

fn main() {
    let services = Services { redis: bowline::Service::from_image("redis:7").expose(6379u16) };
    let p = pipeline! {
        container ping {
            image "redis:7";
            bind (services.redis);
        }
    };
    let _ = p;
}
