//! Promises whose proof takes minutes: kills at many random moments, big outputs, disks that fill up.
//! `tests/run --long` runs them.

#![cfg(feature = "long")]

mod databases;
mod events;
mod files;
mod output;
mod processes;
