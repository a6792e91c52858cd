//! Results in a repository of a registry: manifests, whose tags are the keys.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::OnceCell;

use super::{Reading, Storage, Trouble};
use crate::engine::oci::{Descriptor, MANIFEST};
use crate::engine::registry::{
    self, DOWNLOAD_SILENCE, Doing, Download, Refusal, Remote, Trouble as Failure, fetch, upload,
};
use crate::engine::{Call, Written};
use crate::model::Digest;
use crate::{Error, Result, home};

/// A repository, connected to when it is first asked for something.
pub(super) struct Repository {
    /// As `host[:port]/name`.
    name: String,
    reading: OnceCell<Remote>,
    writing: OnceCell<Remote>,
}

impl Repository {
    pub(super) fn new(name: String) -> Self {
        Self { name, reading: OnceCell::new(), writing: OnceCell::new() }
    }

    async fn remote(&self, doing: Doing) -> Result<&Remote> {
        let connect = || async move {
            let (host, rest) = self.name.split_once('/').unwrap_or((&self.name, ""));
            let endpoint = registry::own(host)?;
            let silence = (doing == Doing::Pull).then_some(DOWNLOAD_SILENCE);
            Remote::new(doing, &endpoint, rest, silence).await
        };
        match doing {
            Doing::Pull => self.reading.get_or_try_init(connect).await,
            Doing::Push => self.writing.get_or_try_init(connect).await,
        }
    }

    async fn unreadable(&self, remote: &Remote, refusal: &Refusal) -> Trouble {
        Trouble::Unreadable(remote.refusal(&self.name, refusal).await)
    }
}

impl Storage for Repository {
    fn manifest<'a>(&'a self, key: &'a Digest) -> Reading<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let remote = self.remote(Doing::Pull).await.map_err(Trouble::Unreadable)?;
            match remote.manifest(&key.to_string()).await {
                Ok(said) => Ok(Some(said.text)),
                Err(refusal) if refusal.is_absence() => Ok(None),
                Err(refusal) => Err(self.unreadable(remote, &refusal).await),
            }
        })
    }

    fn put_manifest<'a>(&'a self, key: &'a Digest, text: &'a [u8]) -> Call<'a, ()> {
        Box::pin(async move {
            let remote = self.remote(Doing::Push).await?;
            match remote.put_manifest(&key.to_string(), text, MANIFEST).await {
                Ok(()) => Ok(()),
                Err(refusal) => Err(remote.refusal(&self.name, &refusal).await),
            }
        })
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, done: &'a AtomicU64) -> Reading<'a, File> {
        Box::pin(async move {
            let remote = self.remote(Doing::Pull).await.map_err(Trouble::Unreadable)?;
            // An interrupted download is resumed from there.
            let directory = home::place().join("downloads");
            let here = |error| Trouble::Unreadable(Error::io(&directory, error));
            home::private(&directory).map_err(here)?;
            let path = directory.join(blob.digest.hash().to_string());
            let mut download = Download::open(path.clone()).await.map_err(here)?;
            match fetch(remote, blob, &mut download, done).await {
                Ok(()) => {
                    let _ = std::fs::remove_file(path);
                    Ok(download.file)
                }
                Err(Failure::Refused(refusal)) if refusal.is_absence() => {
                    Err(Trouble::Damaged(format!("the blob {} is gone", blob.digest)))
                }
                Err(Failure::Refused(refusal)) => Err(self.unreadable(remote, &refusal).await),
                Err(Failure::Wrong(why)) => {
                    let _ = std::fs::remove_file(path);
                    Err(Trouble::Damaged(why))
                }
                Err(Failure::Here(error)) => Err(here(error)),
            }
        })
    }

    fn has<'a>(&'a self, blob: &'a Descriptor) -> Call<'a, bool> {
        Box::pin(async move {
            let remote = self.remote(Doing::Push).await?;
            match remote.has(&blob.digest).await {
                Ok(has) => Ok(has),
                Err(refusal) => Err(remote.refusal(&self.name, &refusal).await),
            }
        })
    }

    fn put<'a>(&'a self, blob: &'a Descriptor, contents: Written) -> Call<'a, ()> {
        Box::pin(async move {
            let remote = self.remote(Doing::Push).await?;
            let sent = upload(remote, &blob.digest, blob.size, contents.reader(), Arc::default()).await;
            match sent {
                Ok(()) => Ok(()),
                Err(refusal) => Err(remote.refusal(&self.name, &refusal).await),
            }
        })
    }
}
