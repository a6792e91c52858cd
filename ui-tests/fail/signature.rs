use bowline::pipeline;

struct App;

impl App {
    pipeline! {
        pub fn method(&self) -> Method;
        container c { imag "debian:12"; }
    }
}

pipeline! {
    pub const extern "C" fn constant() -> Constant;
    container c { image "debian:12"; expose 80; }
}

pipeline! {
    fn braces() -> Braces {
        container c { image "debian:12"; bind rediz; }
    }
}

pipeline! {
    #[inline]
    fn half(version: ) -> Half;
    service redis { image "redis:7" }
}

pipeline! {
    fn first() -> First
    service redis { image "redis:7"; }
    pub fn second() -> Second;
    service web { imag "redis:7"; }
}

fn main() {}
