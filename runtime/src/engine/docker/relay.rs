//! Connections to containers whose addresses cannot be reached from here, and from containers to the pipeline, carried over
//! the engine's own connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::Shared;
use crate::engine::{Connection, Flow, Ingress, PortNumber};
use crate::model::Hostname;
use crate::{Error, Result};

pub(super) async fn connect(_shared: &Arc<Shared>, _ip: IpAddr, _port: u16) -> io::Result<Connection> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) async fn flow(_shared: &Arc<Shared>, _ip: IpAddr, _port: u16) -> io::Result<Flow> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) async fn listen(
    _shared: &Arc<Shared>,
    name: &str,
    _hostname: &Hostname,
    _ports: &[PortNumber],
) -> Result<Ingress> {
    Err(Error::engine(format!("serve {name} to containers"), io::Error::from(io::ErrorKind::Unsupported)))
}
