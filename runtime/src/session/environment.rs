//! Variables of the environment that say how pipelines run. What they mean is checked before anything does.

use super::caching::Caching;
use super::pins::Mode;
use super::remote::CachePlaces;
use crate::terminal;
use crate::{Error, Result};

/// The variable that can make every use of a service an error.
const SERVICES: &str = "BOWLINE_SERVICES";

/// Checks all of them, for a session whose engine the program may have chosen itself.
///
/// # Errors
/// [`Error::Invalid`] for a value that means nothing: it names the values that there are.
pub(crate) fn check_environment(engine: Option<&str>) -> Result<()> {
    crate::engine::check_environment(engine)?;
    Mode::from_environment()?;
    Caching::from_environment()?;
    crate::engine::kept_size()?;
    CachePlaces::from_environment()?;
    crate::error::check_lines()?;
    are_services_on().map(drop)
}

/// Whether services may be used.
pub(super) fn are_services_on() -> Result<bool> {
    let value = std::env::var_os(SERVICES).unwrap_or_default();
    let value = value.to_string_lossy();
    match value.to_ascii_lowercase().as_str() {
        "" | "on" => Ok(true),
        "off" => Ok(false),
        _ => {
            let value = terminal::plain(&value);
            Err(Error::invalid(None, format!("{SERVICES}={value} means nothing: it may be `on` or `off`")))
        }
    }
}
