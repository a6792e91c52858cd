//! Places in the program's source.

use std::{fmt, panic};

/// Where in the program's source something was written: `src/ci.rs:41:13`.
///
/// In a [`pipeline!`](crate::pipeline) it is the first word of the item or statement; elsewhere it is the name of the
/// method that was called, or the path of the function. Everything that a loop makes has one place, and so has everything
/// that a function makes, even if it is called from several places: the place where the statement or call stands in it. A
/// `#[track_caller]` function passes on the place of its own caller. What the body of a `macro_rules!` macro writes is
/// located where that macro was called, as for panics; tokens that were passed to the macro are located where they stand.
/// A builder that is passed by name alone, as in `paths.map(host)`, cannot learn its place.
///
/// The path is as the compiler was given it: relative to the compiler's working directory, which for cargo is the root of
/// the workspace. A place is part of no identity: code that moves within a file still finds its cached results.
///
/// ```
/// use bowline::{Container, Location};
/// let line = line!() + 1;
/// let wrong = Container::from_image("redis:7").workdir("");
/// let error = wrong.plan().check().unwrap_err();
/// let [place] = error.locations() else { panic!("{error}") };
/// assert_eq!((place.file(), place.line()), (file!(), line));
/// assert_eq!(place.to_string(), format!("{}:{line}:{}", file!(), place.column()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(&'static panic::Location<'static>);

impl Location {
    /// Where the calling function was called, through all callers that are `#[track_caller]`.
    #[track_caller]
    pub(crate) fn caller() -> Self {
        Self(panic::Location::caller())
    }

    /// Whether the place is in the program. A builder that is called through a pointer, or by the standard library
    /// (`map(host)`), gets its own place or the library's. What a command line asks for is written nowhere.
    pub(crate) fn is_of_the_program(self) -> bool {
        let root = file!().strip_suffix("model/location.rs");
        let is_ours = root
            .and_then(|root| self.file().strip_prefix(root))
            .is_some_and(|file| ["value/", "cli/"].iter().any(|room| file.starts_with(room)));
        !is_ours && !self.file().ends_with("library/core/src/ops/function.rs")
    }

    /// The path of the file, as the compiler was given it.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.0.file()
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.0.line()
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.0.column()
    }
}

impl From<&'static panic::Location<'static>> for Location {
    fn from(location: &'static panic::Location<'static>) -> Self {
        Self(location)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Serialised as `{"file": …, "line": …, "column": …}`.
impl serde::Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Location", 3)?;
        fields.serialize_field("file", self.file())?;
        fields.serialize_field("line", &self.line())?;
        fields.serialize_field("column", &self.column())?;
        fields.end()
    }
}

/// A place that another process has written down: [`Location`]s themselves are made by the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub(crate) struct Place {
    file: Box<str>,
    line: u32,
    column: u32,
}

#[cfg(feature = "junit")]
impl Place {
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn line(&self) -> u32 {
        self.line
    }
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        Self { file: location.file().into(), line: location.line(), column: location.column() }
    }
}

/// As a [`Location`].
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value, and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Location,
}
