use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            expose ports.http as http;
            expose 80 named http;
            ready http "/x" over 80;
            stop "SIGINT" in "10s";
        }
        container ping {
            image "redis:7";
            bind self.web as "www";
            bind web to "www";
            mount host("/x") at "/x";
            "text";
        }
        +
    };
    let _ = p;
}
