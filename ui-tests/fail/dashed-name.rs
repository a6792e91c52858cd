use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service my-db {
            image "redis:7";
            expose 6379 as redis-port;
        }
        cache node-18;
        container client {
            image "redis:7";
            bind my-db as "my-db";
            mount node-18 at "/cache";
            exec ["true"];
            export "/out/" as test-results;
        }
        container next {
            image "redis:7";
            after client-1;
            bind my_db;
        }
    };
    let _ = p;
}
