//! Plans with the contents of files.

use crate::Result;
use crate::graph::Plan;
use crate::session::planned_files;

impl Plan {
    /// Adds a hash of each directory and file of this machine that the plan uses, which changes with their contents. This
    /// reads them on the calling thread, and gives the same plan on every machine that has the same files.
    ///
    /// ```
    /// use bowline::{Container, host_file};
    /// let config = host_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    /// let check = Container::from_image("debian:12").mount("/Cargo.toml", &config).exec(["cat", "/Cargo.toml"]);
    /// let plan = check.plan();
    /// assert!(plan.files.is_empty());
    /// assert_eq!(plan.with_files()?.files[0].files, 1);
    /// # Ok::<(), bowline::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when something cannot be read.
    pub fn with_files(mut self) -> Result<Self> {
        self.files = self.hosts.iter().map(|source| planned_files(source)).collect::<Result<_>>()?;
        Ok(self)
    }
}
