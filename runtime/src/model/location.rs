//! Places in the source of the program.

use std::{fmt, panic};

/// Where in the program's source something was written: `src/ci.rs:41:13`.
///
/// In a [`pipeline!`](crate::pipeline) that is the first word of the item or statement, and otherwise the name of the
/// method that was called, or the path of the function. What a loop makes has one place, and so has what a function makes
/// that is called from several: it is where the statement or call stands. A function that is `#[track_caller]` passes on
/// where it was called itself. What the body of a `macro_rules!` macro writes is where that macro was called, as it is for
/// panics; what it was given is where that stands. A builder that is called by its name alone, as in `paths.map(host)`,
/// learns of no place.
///
/// The path is as the compiler was given it: relative to the directory that it ran in, which for cargo is the root of
/// the workspace. A place is part of no identity: what moves in a file is found in the cache as before.
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
    /// Where the function was called that calls this: through all that are `#[track_caller]`.
    #[track_caller]
    pub(crate) fn caller() -> Self {
        Self(panic::Location::caller())
    }

    /// Whether it is a place of the program's. A builder that is called through a pointer, or by the standard library
    /// (`map(host)`), is told where it stands itself, or where the library calls it.
    pub(crate) fn is_of_the_program(self) -> bool {
        let root = file!().strip_suffix("model/location.rs");
        let is_builder = root
            .and_then(|root| self.file().strip_prefix(root))
            .is_some_and(|file| file.starts_with("value/"));
        !is_builder && !self.file().ends_with("library/core/src/ops/function.rs")
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

/// As `{"file": …, "line": …, "column": …}`.
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

/// Something, and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Location,
}
