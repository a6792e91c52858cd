//! Progress of long transfers, emitted from time to time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::event::{EventKind, Span, Transfer, Verb};

/// The shortest interval between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Counts the bytes of one transfer, from any thread.
pub(super) struct Meter {
    span: Arc<Span>,
    transfer: Transfer,
    /// The bytes transferred so far.
    done: AtomicU64,
    /// When progress was last emitted.
    told: Mutex<Instant>,
}

impl Meter {
    /// Emits the beginning of the transfer.
    pub(super) fn new(span: Arc<Span>, verb: Verb, bytes: u64, files: u64) -> Self {
        let transfer = Transfer { verb, done: 0, total: Some(bytes), files: Some(files) };
        span.emit(|| EventKind::Transfer(transfer));
        Self { span, transfer, done: AtomicU64::new(0), told: Mutex::new(Instant::now()) }
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !self.span.is_observed() {
            return;
        }
        // If another thread holds the lock, it emits.
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() >= TELL_EVERY
        {
            *told = Instant::now();
            // An archive has more bytes than its contents.
            let done = self.transfer.total.map_or(done, |total| done.min(total));
            self.span.emit(|| EventKind::Transfer(Transfer { done, ..self.transfer }));
        }
    }
}
