//! The types that `pipeline!` makes of items with ports or exports of their own.

use super::{Container, Service};

/// A type of a pipeline's that stands for a `T` and adds methods to it. One method of a trait for all conversions, as each
/// implementation costs the compiler time in every pipeline.
pub trait HandleOf<T> {
    /// What it stands for.
    fn handle(&self) -> &T;
}

// Implemented here and not by expansions: then `From` needs no second implementation for references.
impl<T, H: HandleOf<T>> HandleOf<T> for &H {
    fn handle(&self) -> &T {
        (*self).handle()
    }
}

impl<H: HandleOf<Service>> From<H> for Service {
    fn from(handle: H) -> Self {
        handle.handle().clone()
    }
}

impl<H: HandleOf<Container>> From<H> for Container {
    fn from(handle: H) -> Self {
        handle.handle().clone()
    }
}
