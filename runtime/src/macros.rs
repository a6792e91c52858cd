//! The façade of the procedural macro: hands it `$crate`, so that renamed and re-exported crates work.

/// Declares services and containers, and how they are bound to each other.
///
/// See the crate's own page for an example; the value is a struct with one field a name.
#[macro_export]
macro_rules! pipeline {
    ($($tokens:tt)*) => {
        $crate::__private::__pipeline! { $crate; $($tokens)* }
    };
}

/// What expansions call besides the public API. Not for use by hand; may change at any time.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(rust_analyzer))]
    pub use bowline_macros::__pipeline;
    // rust-analyzer sets this for every crate that it loads: it alone gets what it completes from.
    #[cfg(rust_analyzer)]
    pub use bowline_macros::__pipeline_ide as __pipeline;

    use crate::{Endpoint, Service};

    /// A value that only an editor asks for the type of.
    #[must_use]
    pub fn absent<T>() -> T {
        unreachable!("only an editor sees this")
    }

    /// The endpoint of a port that the pipeline names. The name is always there; a definition whose port is wrong
    /// never runs, and reports so.
    #[must_use]
    pub fn endpoint(service: &Service, name: &str) -> Endpoint {
        service.endpoint_of(name).unwrap_or_else(|_| service.endpoint_on(0))
    }

    /// The endpoint of a port that the pipeline names under a condition.
    #[must_use]
    pub fn endpoint_if(service: &Service, name: &str) -> Option<Endpoint> {
        service.endpoint_of(name).ok()
    }

    pub use crate::session::entry::{main, test};
}
