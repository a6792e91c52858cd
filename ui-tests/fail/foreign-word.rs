use bowline::pipeline;

fn main() {
    let p = pipeline! {
        version: "3.9";
        networks: { front: {} }
        volume data;
        job build { image "debian:12"; exec ["true"]; }
        service web {
            image "nginx:1.22";
            ports: ["80:80"];
            environment: { MODE: "fast" }
            depends_on db;
            restart: always;
            CMD ["nginx", "-g", "daemon off;"];
            RUN apt-get install nginx;
            timeout: 5s;
        }
        container test {
            FROM debian:12
            RUN make && make test
            image "debian:12";
            ports: ["80:80"];
            command ["make"];
            runs-on: ubuntu-latest;
            if: github.ref == "main";
            continue-on-error: true;
            needs: build;
            Env MODE = "fast";
            exec ["make"] { timeout-minutes: 5; }
            after build;
        }
    };
    let _ = p;
}
