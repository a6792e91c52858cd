use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache: pip;
        service db: {
            image: "postgres:15"
            expose: 5432
        }
        container test {
            image = "debian:12";
            bind: [db];
            env: { MODE: "fast" }
            env MODE: "fast";
            exec: ["make"];
            exec ["make"] { timeout: "30s"; expect = any; }
        }
    };
    let _ = p;
}
