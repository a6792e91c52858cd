use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            exec ["nginx"];
            export "/x" as x;
            expose 80;
        }
        container ping {
            image "redis:7";
            run ["redis-cli"];
            expose 80;
        }
    };
    let _ = p;
}
