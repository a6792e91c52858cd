//! Containers that are never started, for reading files.
//!
//! An engine that sends an archive out of a container holds the container's lock until the archive has been read (moby,
//! `daemon/archive.go`): every other request about that container waits for the reader, however slow it is. So a
//! container that is read from is exclusive meanwhile. Of an image there can be as many containers as needed. A held
//! container exists once: a second reader waits here, but no longer than an engine that works takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::cleaner::Container;
use super::failure::LONG;
use super::idle::idle_container;
use super::{Shared, held};
use crate::lock::lock;
use crate::{Error, Result};

/// The containers of images, by image id. Making one takes 11 ms, asking one 1 ms.
#[derive(Default)]
pub(super) struct Readers {
    images: Mutex<HashMap<String, Arc<OfImage>>>,
}

#[derive(Default)]
pub(super) struct OfImage {
    /// For metadata, and for reading when nobody asks it for metadata.
    first: OnceCell<First>,
    /// For metadata while the first is read from; never read from itself.
    second: OnceCell<Container>,
    /// For reading, made while the first was not free.
    free: Mutex<Vec<Container>>,
}

struct First {
    name: String,
    /// Shared by callers that ask for metadata, exclusive to one that reads.
    container: Arc<RwLock<Container>>,
}

impl Readers {
    /// Releases all of them; they are removed in the background.
    pub(super) fn release(&self) {
        drop(std::mem::take(&mut *lock(&self.images)));
    }
}

/// Where to read a snapshot's files.
#[derive(Clone)]
pub(super) struct Files(Kind);

#[derive(Clone)]
enum Kind {
    Image { id: String, readers: Arc<OfImage> },
    Held { container: String, reading: Arc<RwLock<()>> },
}

/// A container that may be asked for metadata.
pub(super) enum Looking {
    First(OwnedRwLockReadGuard<Container>),
    Second(Arc<OfImage>),
    Held(String, #[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
}

/// A container that nobody else uses.
pub(super) enum Reading {
    First(OwnedRwLockWriteGuard<Container>),
    More(Container, Arc<OfImage>),
    Held(String, #[expect(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>),
}

impl Files {
    pub(super) fn of_image(shared: &Shared, id: String) -> Self {
        let readers = Arc::clone(lock(&shared.readers.images).entry(id.clone()).or_default());
        Self(Kind::Image { id, readers })
    }

    /// The held container that has these files, if it is one.
    pub(super) fn held_container(&self, shared: &Shared) -> Option<String> {
        match &self.0 {
            Kind::Held { container, .. } if held::is_held(shared, container) => Some(container.clone()),
            _ => None,
        }
    }

    /// The files of one container; whoever holds this lock alone may read from it.
    pub(super) fn held(container: String, reading: Arc<RwLock<()>>) -> Self {
        Self(Kind::Held { container, reading })
    }

    /// The container that was made first, of the one that `looking` uses and the one made first for the image.
    pub(super) fn oldest<'a>(&'a self, looking: &'a Looking) -> &'a str {
        match &self.0 {
            Kind::Image { readers, .. } => readers.first.get().map_or(looking.name(), |first| &first.name),
            Kind::Held { container, .. } => container,
        }
    }

    /// Access for metadata, shared with others.
    pub(super) async fn look(&self, shared: &Arc<Shared>) -> Result<Looking> {
        let (id, readers) = match &self.0 {
            Kind::Held { container, reading } => {
                return Ok(Looking::Held(container.clone(), turn(Arc::clone(reading).read_owned()).await?));
            }
            Kind::Image { id, readers } => (id, readers),
        };
        if let Ok(first) = Arc::clone(first(shared, id, readers).await?).try_read_owned() {
            return Ok(Looking::First(first));
        }
        readers.second.get_or_try_init(|| idle_container(shared, id)).await?;
        Ok(Looking::Second(Arc::clone(readers)))
    }

    /// Access for reading, exclusive while it lasts.
    pub(super) async fn read(&self, shared: &Arc<Shared>) -> Result<Reading> {
        let (id, readers) = match &self.0 {
            Kind::Held { container, reading } => {
                return Ok(Reading::Held(container.clone(), turn(Arc::clone(reading).write_owned()).await?));
            }
            Kind::Image { id, readers } => (id, readers),
        };
        if let Ok(first) = Arc::clone(first(shared, id, readers).await?).try_write_owned() {
            return Ok(Reading::First(first));
        }
        let free = lock(&readers.free).pop();
        let more = match free {
            Some(free) => free,
            None => idle_container(shared, id).await?,
        };
        Ok(Reading::More(more, Arc::clone(readers)))
    }
}

/// Waits for a held container, which has a failed step's files.
async fn turn<T>(others: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(LONG, others).await.map_err(|_| {
        let minutes = LONG.as_secs() / 60;
        Error::engine(
            "read what a failed step left",
            format!("it has been read from for {minutes} minutes by somebody who takes nothing of it"),
        )
    })
}

async fn first<'a>(
    shared: &Arc<Shared>,
    image: &str,
    readers: &'a OfImage,
) -> Result<&'a Arc<RwLock<Container>>> {
    let make = || async {
        let container = idle_container(shared, image).await?;
        let name = container.name().to_owned();
        Ok::<_, crate::Error>(First { name, container: Arc::new(RwLock::new(container)) })
    };
    Ok(&readers.first.get_or_try_init(make).await?.container)
}

impl Looking {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::First(container) => container.name(),
            Self::Second(readers) => readers.second.get().map_or("", Container::name),
            Self::Held(name, _) => name,
        }
    }
}

impl Reading {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::First(container) => container.name(),
            Self::More(container, _) => container.name(),
            Self::Held(name, _) => name,
        }
    }

    /// Everything was read: the engine has released the container. A container whose reading was cut short is not reused.
    pub(super) fn done(self) {
        if let Self::More(container, readers) = self {
            lock(&readers.free).push(container);
        }
    }
}
