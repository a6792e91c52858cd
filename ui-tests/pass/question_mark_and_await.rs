//! Values act on the function around: `?`, `.await`, `return`.
#![deny(warnings)]

use bowline::pipeline;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

async fn tag() -> String {
    "7".to_owned()
}

async fn build(port: &str, key: Option<&str>) -> Result<Option<u16>, std::num::ParseIntError> {
    let p = pipeline! {
        service redis {
            image format!("redis:{}", tag().await);
            expose (port.parse()?) as tcp;
        }
        let Some(key) = key else { return Ok(None) };
        cache data = key;
        container ping {
            image "redis:7";
            bind redis as "redis-srv";
            mount data at "/data";
            let retries: u32 = "3".parse()?;
            for _ in 0..retries { exec ["redis-cli", "-h", "redis-srv", "-p", port, "ping"]; }
            env TAG = match tag().await.as_str() { "7" => "seven", _ => return Ok(None) };
            export (format!("/out/{}", tag().await)) as report;
        }
    };
    let _ = p.ping.report();
    Ok(Some(p.redis.tcp().port()))
}

/// A future with a pipeline in it may move between threads.
fn ready<T>(future: impl Future<Output = T> + Send) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

fn main() {
    assert_eq!(ready(build("6379", Some("data"))), Ok(Some(6379)));
    assert_eq!(ready(build("6379", None)), Ok(None));
    assert!(ready(build("x", Some("data"))).is_err());
}
