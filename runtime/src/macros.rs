//! The façade of the procedural macro: hands it `$crate`, so that renamed and re-exported crates work.

/// Declares services and containers, and how they are bound to each other.
///
/// Used as an expression, it evaluates to a struct with one field for each name; the crate's front page has an example.
/// The module [`language`](crate::language) documents every keyword.
///
/// # As a function
///
/// Where items stand, in a module or a block, a signature comes first. The macro then generates the function and the
/// struct that it returns, both with the visibility of the signature. Handles with methods of their own (named ports,
/// exports) get types whose names start with the struct's name, here `CiRedis`. Parameters are Rust's, generics and
/// lifetimes included.
///
/// ```
/// use bowline::prelude::*;
///
/// pipeline! {
///     /// The store in some version, and its test.
///     pub fn ci(version: &str, clients: usize) -> Ci;
///
///     service redis { image format!("redis:{version}"); expose 6379 as tcp; }
///     for client in 0..clients {
///         container ping {
///             image "redis:7";
///             bind redis;
///             env CLIENT = client;
///             exec ["redis-cli", "-h", "redis", "ping"];
///         }
///     }
/// }
///
/// fn port(redis: &CiRedis) -> u16 {
///     redis.tcp().port()
/// }
///
/// let p: Ci = ci("7", 3);
/// assert_eq!((p.ping.len(), port(&p.redis)), (3, 6379));
/// ```
///
/// With `-> Result<Ci>` (of any error type) or `-> Option<Ci>`, values may use `?`, and with `async fn` they may
/// `.await`. Doc comments and lints such as `#[allow(deprecated)]` on the signature go to the function.
#[macro_export]
macro_rules! pipeline {
    ($($tokens:tt)*) => {
        $crate::__private::__pipeline! { $crate; $($tokens)* }
    };
}

/// Makes `main` of a pipeline in item form: `bowline::cli!(ci);`, with the path of its function. See the module
/// [`cli`](mod@crate::cli).
#[cfg(all(feature = "cli", not(rust_analyzer)))]
#[macro_export]
macro_rules! cli {
    (pipeline) => {
        ::core::compile_error!("a function that is called as a macro has no command line: give it another name, such as `ci`");
    };
    ($($pipeline:ident)::+ $(;)?) => {
        $($pipeline)::+! { [$crate::__private::__cli] [$crate] [$($pipeline)::+] }
    };
}

/// The same for rust-analyzer, for which a pipeline's function has no macro of its own: a use of the function, to go to.
#[cfg(all(feature = "cli", rust_analyzer))]
#[macro_export]
macro_rules! cli {
    ($($pipeline:ident)::+ $(;)?) => {
        fn main() -> ::std::process::ExitCode {
            let _ = $($pipeline)::+;
            ::std::process::ExitCode::SUCCESS
        }
    };
}

/// What every handle with methods of its own has besides them. By hand and not by `derive`, which costs the compiler more.
#[doc(hidden)]
#[macro_export]
macro_rules! __handle {
    ($handle:ident, $inner:ty, $of:ty $(, $field:tt)*) => {
        impl ::core::ops::Deref for $handle {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }
        impl ::core::clone::Clone for $handle {
            fn clone(&self) -> Self {
                Self(self.0.clone() $(, self.$field.clone())*)
            }
        }
        impl ::core::fmt::Debug for $handle {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(&self.0, f)
            }
        }
        impl $crate::__private::HandleOf<$of> for $handle {
            fn handle(&self) -> &$of {
                &self.0
            }
        }
    };
}

/// What expansions call besides the public API. Not for use by hand; may change at any time.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(rust_analyzer))]
    pub use bowline_macros::__pipeline;
    // rust-analyzer sets this cfg for every crate that it loads; only rust-analyzer gets the expansion for completion.
    #[cfg(feature = "cli")]
    pub use crate::cli::{Reader, evaluated};
    #[cfg(feature = "cli")]
    pub use bowline_macros::__cli;
    #[cfg(rust_analyzer)]
    pub use bowline_macros::__pipeline_ide as __pipeline;

    use crate::{Endpoint, Item, Plan, Service};

    pub use crate::run::Ported;
    pub use crate::value::{HandleOf, Items};

    /// A value of which only an editor asks the type.
    #[must_use]
    pub fn absent<T>() -> T {
        unreachable!("only an editor sees this")
    }

    /// The endpoint of a port that the pipeline names. The method exists even if the port is wrong: such a definition
    /// never runs, and reports the mistake.
    #[must_use]
    pub fn endpoint(service: &Service, name: &str) -> Endpoint {
        service.endpoint_of(name).unwrap_or_else(|_| service.endpoint_on(0))
    }

    /// The endpoint of a port that the pipeline names inside an `if`.
    #[must_use]
    pub fn endpoint_if(service: &Service, name: &str) -> Option<Endpoint> {
        service.endpoint_of(name).ok()
    }

    /// The name of an item in a `for`, by how many there are before it.
    #[must_use]
    pub fn numbered(name: &str, before: usize) -> String {
        format!("{name}.{before}")
    }

    /// What would run of a pipeline's items.
    #[must_use]
    pub fn plan(items: &[Item]) -> Plan {
        Plan::of_items(items.iter().filter(|item| item.is_written_here()))
    }

    pub use crate::run::entry::{OtherOutcome, ResultOutcome, TestSession, main, test};
}
