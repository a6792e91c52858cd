//! Mutexes of plain data.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for it. A thread that panicked with it has said so already, and plain data is taken as it was left.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
