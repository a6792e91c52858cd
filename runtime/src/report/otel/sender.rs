//! Sends spans from a thread of its own, so that a receiver that is slow, or is not there, delays nobody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::client::{Client, NO_ANSWER};
use super::settings::Settings;
use crate::report::stderr::say;

/// How many spans wait at most …
const WAITING: usize = 2048;
/// … how many go together …
const TOGETHER: usize = 512;
/// … and how long the first waits for others. All as OpenTelemetry's own defaults.
const WITHIN: Duration = Duration::from_secs(5);
/// For how long a session that ends waits. Less than it waits for observers, so that a line can be said.
const FLUSHED_WITHIN: Duration = Duration::from_millis(1500);

pub(super) struct Sender {
    spans: mpsc::Sender<SpanData>,
    is_much: Arc<Notify>,
    flushes: mpsc::UnboundedSender<std::sync::mpsc::Sender<()>>,
    /// How many were not accepted, since that was said.
    dropped: AtomicU64,
    /// A session has waited for a receiver that was not there.
    was_in_vain: AtomicBool,
    told: Arc<Told>,
}

/// Whether the receiver takes what it is sent, and what was said of that.
struct Told {
    client: Client,
    receiver: String,
    /// The last attempt failed.
    is_down: AtomicBool,
    /// It was said. Once is enough.
    has_said: AtomicBool,
}

impl Told {
    fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn fault(&self, otherwise: &str) {
        self.is_down.store(true, Ordering::Relaxed);
        let why = self.client.take_fault().unwrap_or_else(|| otherwise.to_owned());
        if !self.has_said.swap(true, Ordering::Relaxed) {
            say(&format!("bowline: spans cannot be sent to {}: {why}", self.receiver));
        }
    }
}

impl Sender {
    pub(super) fn start(exporter: SpanExporter, client: Client, settings: &Settings) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (spans, waiting) = mpsc::channel(WAITING);
        let (flushes, asked) = mpsc::unbounded_channel();
        let is_much = Arc::<Notify>::default();
        let told = Arc::new(Told {
            client,
            receiver: settings.shown(),
            is_down: false.into(),
            has_said: false.into(),
        });
        let work = Work {
            exporter,
            waiting,
            is_much: is_much.clone(),
            asked,
            limit: settings.timeout,
            told: told.clone(),
        };
        let thread = std::thread::Builder::new().name("bowline-otel".to_owned());
        thread.spawn(move || runtime.block_on(work.run()))?;
        Ok(Self { spans, is_much, flushes, dropped: AtomicU64::new(0), was_in_vain: false.into(), told })
    }

    /// Lets a span be sent, unless too many wait already.
    pub(super) fn send(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if self.spans.max_capacity() - self.spans.capacity() >= TOGETHER {
            self.is_much.notify_one();
        }
    }

    /// Waits until all that wait now were sent, up to a limit, unless that was in vain before and is still.
    pub(super) fn flush(&self) {
        let (sent, wait) = std::sync::mpsc::channel();
        let is_asked = self.flushes.send(sent).is_ok();
        let is_in_vain = self.told.is_down() && self.was_in_vain.load(Ordering::Relaxed);
        if is_asked && !is_in_vain && wait.recv_timeout(FLUSHED_WITHIN).is_err() {
            self.told.fault(NO_ANSWER);
        }
        self.was_in_vain.store(self.told.is_down(), Ordering::Relaxed);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            say(&format!(
                "bowline: {dropped} spans were not sent: {WAITING} were waiting for {}",
                self.told.receiver
            ));
        }
    }
}

/// What the thread does.
struct Work {
    exporter: SpanExporter,
    waiting: mpsc::Receiver<SpanData>,
    is_much: Arc<Notify>,
    asked: mpsc::UnboundedReceiver<std::sync::mpsc::Sender<()>>,
    /// For how long sending a batch may take, with all attempts.
    limit: Duration,
    told: Arc<Told>,
}

impl Work {
    async fn run(mut self) {
        loop {
            let answer = tokio::select! {
                () = sleep(WITHIN) => None,
                () = self.is_much.notified() => None,
                asked = self.asked.recv() => match asked {
                    Some(answer) => Some(answer),
                    None => return,
                },
            };
            let mut left = self.waiting.len();
            while left > 0 {
                let mut batch = Vec::with_capacity(left.min(TOGETHER));
                left -= self.waiting.recv_many(&mut batch, left.min(TOGETHER)).await;
                self.send(batch).await;
            }
            if let Some(answer) = answer {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(());
            }
        }
    }

    async fn send(&self, batch: Vec<SpanData>) {
        match timeout(self.limit, self.exporter.export(batch)).await {
            Ok(Ok(())) => self.told.is_down.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.told.fault(&error.to_string()),
            Err(_) => self.told.fault(NO_ANSWER),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
    use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span() -> SpanData {
        let now = std::time::SystemTime::now();
        SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "a".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: opentelemetry::InstrumentationScope::default(),
        }
    }

    #[test]
    fn a_receiver_that_is_silent_holds_nobody_up_for_long_and_not_twice() {
        // Connections are made, and nobody accepts them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: reqwest::Url = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
        let settings = Settings { endpoint, timeout: Duration::from_secs(10) };
        let client = Client::new(settings.timeout).unwrap();
        let exporter = SpanExporter::builder().with_http().with_http_client(client.clone());
        let exporter = exporter.with_endpoint(settings.endpoint.as_str()).build().unwrap();
        let sender = Sender::start(exporter, client, &settings).unwrap();
        let began = Instant::now();
        (0..3 * WAITING).for_each(|_| sender.send(span()));
        let sent = began.elapsed();
        assert!(sent < Duration::from_secs(1), "{sent:?}");
        // What waits, and what is on its way, and no more.
        let dropped = sender.dropped.load(Ordering::Relaxed);
        assert!(dropped >= (2 * WAITING - TOGETHER) as u64, "{dropped}");
        sender.flush();
        let flushed = began.elapsed();
        assert!(
            flushed >= FLUSHED_WITHIN && flushed < FLUSHED_WITHIN + Duration::from_secs(1),
            "{flushed:?}"
        );
        let began = Instant::now();
        sender.flush();
        let again = began.elapsed();
        assert!(again < Duration::from_millis(500), "{again:?}");
    }
}
