//! What files are read through: containers that are never started.
//!
//! An engine that sends an archive out of a container holds the container's lock until all of it has been taken (moby,
//! `daemon/archive.go`): whatever else is asked of that container waits for whoever takes it, and takes his time. So a
//! container that is read from is nobody else's meanwhile. Of an image there can be as many as it takes. A held container
//! there is once: who asks for it waits, here, and no longer than for an engine that works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::cleaner::Container;
use super::failure::LONG;
use super::idle::idle_container;
use super::{Shared, held};
use crate::lock::lock;
use crate::{Error, Result};

/// Those of images, by their ids. Making one takes 11 ms, asking it 1 ms.
#[derive(Default)]
pub(super) struct Readers {
    images: Mutex<HashMap<String, Arc<OfImage>>>,
}

#[derive(Default)]
pub(super) struct OfImage {
    /// Looked into, and read from when nobody looks into it.
    first: OnceCell<First>,
    /// Looked into while the first is read from; never read from itself.
    second: OnceCell<Container>,
    /// Made to be read from while the first was not free.
    free: Mutex<Vec<Container>>,
}

struct First {
    name: String,
    container: Arc<RwLock<Container>>,
}

impl Readers {
    /// Lets go of all; they are removed in the background.
    pub(super) fn release(&self) {
        drop(std::mem::take(&mut *lock(&self.images)));
    }
}

/// Where a snapshot's files are.
#[derive(Clone)]
pub(super) struct Files(Kind);

#[derive(Clone)]
enum Kind {
    Image { id: String, readers: Arc<OfImage> },
    Held { container: String, reading: Arc<RwLock<()>> },
}

/// A container that may be asked what is at a path.
pub(super) enum Looking {
    First(OwnedRwLockReadGuard<Container>),
    Second(Arc<OfImage>),
    Held(String, #[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
}

/// A container that nobody else asks anything.
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

    /// The held container that these are of, if it is one.
    pub(super) fn held_container(&self, shared: &Shared) -> Option<String> {
        match &self.0 {
            Kind::Held { container, .. } if held::is_held(shared, container) => Some(container.clone()),
            _ => None,
        }
    }

    /// Those of one container, which is read from by who holds this lock alone.
    pub(super) fn held(container: String, reading: Arc<RwLock<()>>) -> Self {
        Self(Kind::Held { container, reading })
    }

    /// The one of its containers that was made first, as far as somebody looks into one of them.
    pub(super) fn oldest<'a>(&'a self, looking: &'a Looking) -> &'a str {
        match &self.0 {
            Kind::Image { readers, .. } => readers.first.get().map_or(looking.name(), |first| &first.name),
            Kind::Held { container, .. } => container,
        }
    }

    /// To look into: shared with all who look.
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

    /// To read from: nobody else's for the time.
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

/// Waits for a held container, which has what a failed step left.
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

    /// All has been taken: the engine has let go of the container. One that was left in the middle is not used again.
    pub(super) fn done(self) {
        if let Self::More(container, readers) = self {
            lock(&readers.free).push(container);
        }
    }
}
