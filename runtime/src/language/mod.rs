//! The language of [`pipeline!`](crate::pipeline), word by word.
//!
//! These functions are nothing but documentation: an editor shows them at the words of a pipeline, and completes the
//! words from them. Their parameters are what the word takes. [`item`] has what a pipeline is made of, [`container`]
//! and [`service`] the statements of their bodies, [`word`] the words inside of statements, [`ready`] the probes of a
//! service, and [`option`] the options of a command; [`checks`] lists what the compiler says of all that.
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
//!
//! Where a word follows a value (`as`, `at`), the value is a name, a literal, or a Rust expression in parentheses. A
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
