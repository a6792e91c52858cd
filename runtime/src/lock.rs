//! Mutexes of plain data.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, ignoring poisoning: a thread that panicked has reported that itself, and plain data is valid as it was left.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
