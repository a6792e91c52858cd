//! Where the failed item was written.

use super::{Error, ServiceError, StepError};
use crate::model::{Digest, Location};

/// The locations field of an error, if its variant has one.
macro_rules! written {
    ($error:expr $(, $mut:ident)?) => {
        match $error {
            Self::Invalid { locations, .. }
            | Self::NoSuchPath { locations, .. }
            | Self::ImageNotFound { locations, .. }
            | Self::PlatformNotFound { locations, .. }
            | Self::Unauthorized { locations, .. }
            | Self::Engine { locations, .. }
            | Self::Io { locations, .. }
            | Self::PortInUse { locations, .. }
            | Self::ServicesOff { locations, .. } => Some(locations),
            Self::StepFailed(error) => Some(& $($mut)? error.locations),
            Self::ServiceStart(error) | Self::ServiceNotReady(error) | Self::ServiceExited(error) => {
                Some(& $($mut)? error.locations)
            }
            Self::EngineUnreachable { .. }
            | Self::Internal { .. }
            | Self::Cancelled { .. }
            | Self::Other(_) => None,
        }
    };
}

impl Error {
    /// Where in the program's source the item, statement or call that the error is about was written. There are several
    /// where equal ones are one step or service: all that are known to need it. There are none where the error is about
    /// none of them: no engine answers, the session was closed, the program's own errors.
    ///
    /// ```
    /// use bowline::prelude::*;
    /// let p = pipeline! {
    ///     container test {
    ///         image "debian:12";
    ///         workdir String::new();
    ///         exec ["true"];
    ///     }
    /// };
    /// let error = p.test.plan().check().unwrap_err();
    /// assert!(error.to_string().contains(&format!("\n  --> {}:", file!())));
    /// assert_eq!((error.locations()[0].line(), error.locations()[0].column()), (line!() - 6, 9));
    /// ```
    #[must_use]
    pub fn locations(&self) -> &[Location] {
        written!(self).map_or(&[], Vec::as_slice)
    }

    fn locations_mut(&mut self) -> Option<&mut Vec<Location>> {
        written!(self, mut)
    }

    /// The same error, located at these places unless it already has a location.
    pub(crate) fn at(mut self, places: impl IntoIterator<Item = Location>) -> Self {
        if let Some(locations) = self.locations_mut()
            && locations.is_empty()
        {
            locations.extend(places.into_iter().filter(|place| place.is_of_the_program()));
        }
        self
    }

    /// The same error, with these places added.
    pub(crate) fn also_at(mut self, places: impl IntoIterator<Item = Location>) -> Self {
        if let Some(locations) = self.locations_mut() {
            for place in places {
                if place.is_of_the_program() && !locations.contains(&place) {
                    locations.push(place);
                }
            }
        }
        self
    }

    /// The error of evaluating a step that is written at these places. The step may have failed for another user, who
    /// wrote an equal step elsewhere.
    pub(crate) fn of_step(self, key: Digest, places: Vec<Location>) -> Self {
        match &self {
            Self::StepFailed(error) if error.key == Some(key) => self.also_at(places),
            _ => self.at(places),
        }
    }

    /// The error of starting or using a service that is written at these places, or of an equal one elsewhere.
    pub(crate) fn of_service(self, hostname: &str, places: Vec<Location>) -> Self {
        match &self {
            Self::ServiceStart(error) | Self::ServiceNotReady(error) | Self::ServiceExited(error)
                if error.hostname == hostname =>
            {
                self.also_at(places)
            }
            _ => self.at(places),
        }
    }

    /// The same error without its locations, to compare errors.
    pub(crate) fn without_locations(mut self) -> Self {
        if let Some(locations) = self.locations_mut() {
            locations.clear();
        }
        self
    }
}

impl StepError {
    /// Where in the program's source the step was written: several where equal steps are one.
    #[must_use]
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }
}

impl ServiceError {
    /// Where in the program's source the service was written: several where equal services are one.
    #[must_use]
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }
}

/// A message with its locations: one line each, before the help, with the arrow of rustc's messages.
pub(super) fn located(message: &str, locations: &[Location]) -> String {
    let (what, help) = message.split_at(message.find("\n\nhelp: ").unwrap_or(message.len()));
    format!("{what}{}{help}", lines(locations))
}

pub(super) fn lines(locations: &[Location]) -> String {
    locations.iter().flat_map(|location| ["\n  --> ".to_owned(), location.to_string()]).collect()
}
