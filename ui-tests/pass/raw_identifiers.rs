//! Names that are Rust keywords or the macro's own words.
#![deny(warnings)]

use bowline::pipeline;

fn main() {
    let p = pipeline! {
        service r#type { image "redis:7"; expose 80 as r#match; }
        service service { image "redis:7"; expose 80 as expose; }
        container container { image "redis:7"; bind r#type; bind service as "at"; exec ["true"]; export "/x" as r#fn; }
        container pipeline { image "redis:7"; after container; export "/x/" as image; }
        container at { from pipeline; }
        cache cache;
        container dir { image "x:1"; mount cache at "/cache"; env r#type = "x"; env for = 1; }
        cache plan;
    };
    assert_eq!(p.r#type.r#match().port(), 80);
    assert_eq!(p.service.expose().port(), 80);
    let _ = (p.container.r#fn(), p.pipeline.image(), &p.at, &p.cache, &p.dir, &p.plan, p.plan());
}
