//! The language of [`pipeline!`](crate::pipeline), word by word.
//! These functions are only documentation: an editor shows them at the keywords of a pipeline, and completes keywords
//! from them. Their parameters are what the keyword takes. [`item`] has the items of a pipeline, [`container`] and
//! [`service`] the statements of their bodies, [`word`] the keywords within statements, [`ready`] the probes of a
//! service, and [`option`] the options of a command; [`checks`] lists the mistakes that the compiler reports.
//!
//! ```
//! # use bowline::prelude::*;
//! let p = pipeline! {
//!     service redis {
//!         image "redis:7";
//!         expose 6379;
//!     }
//!     container ping {
//!         image "redis:7";
//!         bind redis as "redis-srv";
//!         exec ["redis-cli", "-h", "redis-srv", "ping"];
//!     }
//! };
//! # let _ = p;
//! ```
//! If a keyword follows a value (`as`, `at`), the value is a name, a literal, or a Rust expression in parentheses. A
//! statement that ends in `;` right after its value takes any Rust expression.

// Nothing calls them: the macro expands to the builder.
#![allow(unused_variables, clippy::needless_pass_by_value)]

#[doc = include_str!("checks.md")]
pub mod checks {}
mod common;
pub mod container;
pub mod item;
#[doc(hidden)]
pub mod next;
pub mod option;
pub mod ready;
pub mod service;
pub mod word;
