//! What is asked of errors.

use crate::Error;
use crate::value::Container;

impl Error {
    /// What a failed command left behind, for example to save a report from it: `None` for any other error.
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
    pub fn container(&self) -> Option<Container> {
        match self {
            Self::StepFailed(step) => step.left.clone().map(Container::from_held),
            _ => None,
        }
    }
}
