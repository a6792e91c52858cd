//! Whether results of earlier runs are taken, and whether those of this one are stored.

use crate::terminal;
use crate::{Error, Result};

/// The variable that says it.
const CACHE: &str = "BOWLINE_CACHE";

/// What a session does with stored results of steps. Within the session a step runs once in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Takes those that there are, and stores its own.
    #[default]
    On,
    /// Takes none, and stores none.
    Off,
    /// Takes those that there are, and stores none.
    Read,
    /// Takes none, and stores its own in their place.
    Refresh,
}

impl Caching {
    pub(crate) const ALL: [Self; 4] = [Self::On, Self::Off, Self::Read, Self::Refresh];

    /// As the variable and the flag have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Read => "read",
            Self::Refresh => "refresh",
        }
    }

    pub(super) const fn takes(self) -> bool {
        matches!(self, Self::On | Self::Read)
    }

    pub(super) const fn stores(self) -> bool {
        matches!(self, Self::On | Self::Refresh)
    }

    /// The one of this name; the default for an empty one.
    pub(crate) fn called(word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(Self::default());
        }
        Self::ALL.into_iter().find(|caching| caching.word() == word)
    }

    /// What the environment says.
    pub(super) fn from_environment() -> Result<Self> {
        let value = std::env::var_os(CACHE).unwrap_or_default();
        let value = value.to_string_lossy();
        Self::called(&value).ok_or_else(|| {
            let message = format!(
                "{CACHE}={} means nothing: it may be `on`, `off`, `read` or `refresh`\n\nhelp: `off` takes no result of an \
                 earlier run and stores none, `read` takes them and stores none, `refresh` takes none and stores its own in \
                 their place",
                terminal::plain(&value)
            );
            Error::invalid(None, message)
        })
    }
}
