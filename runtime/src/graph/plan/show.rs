//! A plan as text and as JSON.

use std::fmt;

use serde::ser::SerializeStruct;

use super::{Places, Plan, PlannedFiles};
use crate::model::Location;

impl Plan {
    /// Adds where each step, service and mistake is written: several places if equal ones are one. Without locations, a
    /// snapshot of the plan does not change when lines move.
    ///
    /// ```
    /// use bowline::Container;
    /// let line = line!() + 1;
    /// let ping = Container::from_image("redis:7").exec(["redis-cli", "ping"]);
    /// assert!(!ping.plan().to_string().contains(file!()));
    /// let plan = ping.plan().with_locations();
    /// assert_eq!(plan.steps[0].locations[0].line(), line);
    /// assert!(plan.to_string().contains(&format!("\n  at {}:{line}:", file!())));
    /// ```
    #[must_use]
    pub fn with_locations(mut self) -> Self {
        self.places = Places::Shown;
        for step in &mut self.steps {
            step.locations = step.written.all();
        }
        for service in &mut self.services {
            service.locations = service.written.all();
        }
        self
    }

    /// The mistakes, with their locations if these are shown.
    fn messages(&self) -> impl Iterator<Item = String> {
        self.errors.iter().map(|error| match self.places {
            Places::Shown => error.to_string(),
            Places::Hidden => error.clone().without_locations().to_string(),
        })
    }
}

/// The text of one service or step.
struct Block<'a> {
    head: String,
    locations: &'a [Location],
    base: &'a str,
    details: &'a [String],
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        self.locations.iter().try_for_each(|location| write!(f, "\n  at {location}"))?;
        write!(f, "\n  from {}", self.base)?;
        self.details.iter().try_for_each(|line| write!(f, "\n  {}", line.replace('\n', "\\n")))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.services.iter().map(|service| Block {
            head: format!("service {} {}", service.name, service.hostname),
            locations: &service.locations,
            base: &service.base,
            details: &service.details,
        });
        let steps = self.steps.iter().map(|step| Block {
            head: format!("step {} {:.12}", step.name, step.digest),
            locations: &step.locations,
            base: &step.base,
            details: &step.details,
        });
        let mut before = "";
        for block in services.chain(steps) {
            write!(f, "{before}{block}")?;
            before = "\n";
        }
        // Files are used by steps or services, so a block precedes them.
        for PlannedFiles { path, contents, files, bytes } in &self.files {
            write!(f, "\nhost {path}\n  contents {contents:.12}\n  {files} files, {bytes} bytes")?;
        }
        for message in self.messages() {
            write!(f, "{before}error: {}", message.replace("\n\n", "\n  "))?;
            before = "\n";
        }
        Ok(())
    }
}

/// Leaves empty lists out, except services and steps.
impl serde::Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 2 + usize::from(!self.files.is_empty()) + usize::from(!self.errors.is_empty());
        let mut plan = serializer.serialize_struct("Plan", fields)?;
        plan.serialize_field("services", &self.services)?;
        plan.serialize_field("steps", &self.steps)?;
        if !self.files.is_empty() {
            plan.serialize_field("files", &self.files)?;
        }
        if !self.errors.is_empty() {
            plan.serialize_field("errors", &self.messages().collect::<Vec<_>>())?;
        }
        plan.end()
    }
}
