//! Results of failed steps.

use crate::Error;
use crate::model::Location;
use crate::value::Container;

impl Error {
    /// What a failed command left, with the configuration, mounts and bindings that it ran with: to save a report from it,
    /// to run more commands in it, or to look around in it ([`Container::terminal`]). `None` for any other error, and for a
    /// command in a service.
    ///
    /// It is there as long as the session. As long as this error or the container exists, the services that the command
    /// used are not stopped before the session ends.
    ///
    /// ```no_run
    /// # async fn example(tests: bowline::Container) -> bowline::Result<()> {
    /// if let Err(error) = tests.sync().await {
    ///     if let Some(container) = error.container() {
    ///         container.file("/src/target/report.xml").save_to("report.xml").await?;
    ///     }
    ///     return Err(error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn container(&self) -> Option<Container> {
        match self {
            Self::StepFailed(step) => {
                let at = step.locations.first().copied().unwrap_or_else(Location::caller);
                step.left.clone().map(|left| Container::from_held(left, at))
            }
            _ => None,
        }
    }
}
