//! The guide: how to work with bowline, a page for each thing to do.
//!
//! | you want to | read |
//! | --- | --- |
//! | see something run | [`first_pipeline`] |
//! | have databases and servers in `cargo test` | [`tests`] |
//! | run pipelines and tests in GitHub Actions or GitLab | [`ci`] |
//! | know what is kept, why something runs again, how to make room | [`caching`] |
//! | hand a token to a process | [`secrets`] |
//! | find out why something failed | [`debugging`], [`troubleshooting`] |
//! | watch a run, or keep a record of it | [`reports`] |
//! | come from something else | [`from_compose`], [`from_dockerfile`], [`from_testcontainers`], [`from_dagger`] |
//! | know what to take something else for | [`what_bowline_is_not`] |
//!
//! It is not a reference. The words of [`pipeline!`](crate::pipeline) are in [`language`](crate::language), and everything that
//! Rust code calls is at the items themselves, from [`Container`](crate::Container) and [`Service`](crate::Service) on.
//!
//! All Rust code in it is compiled with bowline's own tests.

#![allow(clippy::doc_markdown, reason = "prose with the names of products")]

#[doc = include_str!("first_pipeline.md")]
pub mod first_pipeline {}

#[doc = include_str!("tests.md")]
pub mod tests {}

#[doc = include_str!("ci.md")]
pub mod ci {}

#[doc = include_str!("caching.md")]
pub mod caching {}

#[doc = include_str!("secrets.md")]
pub mod secrets {}

#[doc = include_str!("debugging.md")]
pub mod debugging {}

#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("reports.md")]
pub mod reports {}

/// Compose files, word by word.
///
#[doc = include_str!("from_compose.md")]
#[doc = include_str!("compose_example.md")]
pub mod from_compose {}

/// Dockerfiles, word by word.
///
#[doc = include_str!("from_dockerfile.md")]
#[doc = include_str!("dockerfile_example.md")]
pub mod from_dockerfile {}

#[doc = include_str!("from_testcontainers.md")]
pub mod from_testcontainers {}

#[doc = include_str!("from_dagger.md")]
pub mod from_dagger {}

#[doc = include_str!("what_bowline_is_not.md")]
pub mod what_bowline_is_not {}

#[cfg(doctest)]
#[doc = include_str!("words.md")]
mod words {}
