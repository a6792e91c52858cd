//! Results of failed steps.

use crate::Error;
use crate::model::Location;
use crate::value::Container;

impl Error {
    /// The files that a failed command left, for example to save a report from them: `None` for any other error.
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
