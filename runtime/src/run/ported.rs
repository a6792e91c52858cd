//! Services of which the compiler knows the ports.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::Tunneling;
use crate::Service;

/// What is in a handle `H` of a service with a named port.
pub struct Ported<H> {
    service: Service,
    handle: PhantomData<fn() -> H>,
}

impl<H> Ported<H> {
    /// The service of a new handle.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self { service, handle: PhantomData }
    }

    /// Makes the service's ports reachable from this program; see [`Service::tunnel`].
    #[track_caller]
    pub fn tunnel(&self) -> Tunneling<H> {
        Tunneling::new(&self.service)
    }
}

impl<H> Deref for Ported<H> {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl<H> Clone for Ported<H> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<H> fmt::Debug for Ported<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}
