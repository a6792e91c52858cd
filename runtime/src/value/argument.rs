//! The small conversions that let users write what they have: text, numbers, durations.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::rules::{self, Problem};

/// One argument of a command: text or a number.
///
/// A [`Secret`](crate::Secret) is deliberately not an argument: it would end up in the plan and in `ps`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a command",
    label = "expected text or a number",
    note = "a `Secret` cannot be printed: pass it with `env` or `mount`"
)]
pub trait Argument {
    /// The argument as the process receives it.
    fn into_argument(self) -> String;
}

/// Turns text or a number into an argument, so that one list can hold both.
///
/// ```
/// use bowline::{Container, arg};
/// let port = 6379;
/// let ping = Container::from_image("redis:7").exec([arg("redis-cli"), arg("-p"), arg(port), arg("ping")]);
/// # let _ = ping;
/// ```
pub fn arg(value: impl Argument) -> String {
    value.into_argument()
}

macro_rules! arguments {
    ($($type:ty),*) => { $(impl Argument for $type {
        fn into_argument(self) -> String {
            self.to_string()
        }
    })* };
}
arguments!(&str, &&str, &String, &&String, Cow<'_, str>, &Cow<'_, str>, Box<str>, Arc<str>, &Arc<str>, char);
arguments!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl Argument for String {
    fn into_argument(self) -> String {
        self
    }
}

/// A span of time: a [`Duration`], or text such as `"500ms"`, `"10s"` or `"1m30s"`.
pub trait IntoDuration {
    #[doc(hidden)]
    fn into_duration(self) -> Result<Duration, String>;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Result<Duration, String> {
        Ok(self)
    }
}

impl IntoDuration for &str {
    fn into_duration(self) -> Result<Duration, String> {
        rules::duration(self).map_err(|problem: Problem| problem.to_string())
    }
}

impl IntoDuration for String {
    fn into_duration(self) -> Result<Duration, String> {
        self.as_str().into_duration()
    }
}

impl IntoDuration for &String {
    fn into_duration(self) -> Result<Duration, String> {
        self.as_str().into_duration()
    }
}

/// An amount of memory: a number of bytes, or text such as `"512MiB"` or `"1.5GB"`.
pub trait IntoSize {
    #[doc(hidden)]
    fn into_size(self) -> Result<u64, String>;
}

impl IntoSize for u64 {
    fn into_size(self) -> Result<u64, String> {
        Ok(self)
    }
}

impl IntoSize for &str {
    fn into_size(self) -> Result<u64, String> {
        crate::sizes::size(self).map_err(|problem: Problem| problem.to_string())
    }
}

impl IntoSize for String {
    fn into_size(self) -> Result<u64, String> {
        self.as_str().into_size()
    }
}

impl IntoSize for &String {
    fn into_size(self) -> Result<u64, String> {
        self.as_str().into_size()
    }
}
