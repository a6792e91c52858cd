//! Who may use a cache volume at once.

use super::CacheKey;

/// A cache as something mounts it. How it is shared is said where it is used, and is no part of what it is: it changes when
/// something runs, and not what comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheUse {
    pub(crate) key: CacheKey,
    pub(crate) sharing: Sharing,
}

/// Who may use it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sharing {
    /// Any step, and the services of one session.
    #[default]
    Shared,
    /// Nobody else that locks it, and no service.
    Locked,
    /// Anybody: each has a volume of its own meanwhile.
    Private,
}

impl Sharing {
    /// The word for it in the language; the usual one needs none.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::Shared => None,
            Self::Locked => Some("locked"),
            Self::Private => Some("private"),
        }
    }
}

impl CacheUse {
    /// The key of one of the volumes of a private cache, which are numbered from 0.
    pub(crate) fn volume(&self, number: usize) -> CacheKey {
        match number {
            0 => self.key.clone(),
            number => format!("{}.{number}", self.key).into(),
        }
    }
}

impl From<&str> for CacheUse {
    fn from(key: &str) -> Self {
        Self { key: key.into(), sharing: Sharing::default() }
    }
}

impl std::fmt::Display for CacheUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(f)
    }
}
