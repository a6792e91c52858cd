//! Under another name and through another crate's re-export.
#![deny(warnings)]

pub extern crate bowline as containers;

mod facade {
    pub mod deep {
        pub use containers::pipeline as declare;
        pub use containers;
    }
}

mod bowline {}

#[containers::test(crate = facade::deep::containers)]
async fn test_with_another_name() {}

fn main() {
    let p = facade::deep::declare! {
        service redis { image "redis:7"; expose 6379 as tcp; }
        container ping { image "redis:7"; bind redis; exec ["redis-cli", "-p", 6379]; }
    };
    assert_eq!(p.redis.tcp().port(), 6379);
    let _ = (p.ping, bowline_is_taken());
}

fn bowline_is_taken() {}
