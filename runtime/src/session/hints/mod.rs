//! What is recognised in a failure, so that its error can say what to do: known traps, and nothing that is only likely.
//!
//! Everything here is a function of what is known already. What a service listens on its [instance] is asked for.
//!
//! [instance]: crate::engine::Instance::listening

mod names;
mod ports;
mod step;
mod words;

pub(super) use self::names::Names;
pub(super) use self::ports::{Unanswered, explain, no_server};
pub(super) use self::step::Failed;
