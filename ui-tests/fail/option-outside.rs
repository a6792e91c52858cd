use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service web {
            image "nginx:1.22";
            uncached;
            expose 80;
        }
        container test {
            image "debian:12";
            exec ["make"] timeout "30s";
            shell "make test", expect: failure, stdout to "/log";
            exec ["make"]
                uncached;
            timeout "30s";
        }
    };
    let _ = p;
}
