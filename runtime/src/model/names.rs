//! Names that are more than text.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Declares a name: a text that is no other kind of name.
macro_rules! names {
    ($($(#[$docs:meta])* $name:ident;)*) => { $(
        $(#[$docs])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(from = "String", into = "String")]
        pub(crate) struct $name(Arc<str>);

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                (*name.0).to_owned()
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self)
            }
        }
    )* };
}

names! {
    /// The key of a cache volume: who says the same key has the same volume.
    CacheKey;
    /// The content-addressed name of a service, a DNS label (RFC 1035, section 2.3.1) of 26 characters.
    Hostname;
}
