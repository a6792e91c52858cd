use bowline::pipeline;

fn main() {
    let p = pipeline! {
        cache data;
        secret token = bowline::secret::env("TOKEN");
        service db { image "postgres:15"; expose 5432; }
        container build { image "debian:12"; }
        container a {
            image "debian:12";
            copy data to "/data";
            copy token to "/token";
            copy db to "/db";
            copy build to "/build";
            copy to "/nothing";
            copy sources to "/src";
            copy "./src" to "/src";
        }
    };
    let _ = p;
}
