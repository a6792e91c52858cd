//! Runs values (being written).
use std::path::PathBuf;

use crate::value::{Container, Entry, Output, PathIn, Service, Stat};
use crate::{Error, Result};

/// A session.
#[derive(Debug)]
pub struct Session;

fn later<T>() -> Result<T> {
    Err(Error::engine("session", "not there yet"))
}

pub(crate) async fn sync(_: Container) -> Result<()> { later() }
pub(crate) async fn output(_: Container) -> Result<Output> { later() }
pub(crate) async fn start(_: Service) -> Result<()> { later() }
pub(crate) async fn stop(_: Service) -> Result<()> { later() }
pub(crate) async fn kill(_: Service) -> Result<()> { later() }
pub(crate) async fn entries(_: PathIn) -> Result<Vec<Entry>> { later() }
pub(crate) async fn save_directory(_: PathIn, _: PathBuf) -> Result<()> { later() }
pub(crate) async fn file_bytes(_: PathIn) -> Result<Vec<u8>> { later() }
pub(crate) async fn stat(_: PathIn) -> Result<Stat> { later() }
pub(crate) async fn save_file(_: PathIn, _: PathBuf) -> Result<()> { later() }
pub(crate) mod entry {
    pub fn main<R>(future: impl Future<Output = R>) -> R {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
    }
    pub fn test<R>(_name: &str, future: impl Future<Output = R>) -> R { main(future) }
}
