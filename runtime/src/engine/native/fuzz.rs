//! Entry points for fuzzing what only this engine reads; see [`crate::engine::fuzz`].

#![cfg_attr(not(fuzzing), allow(unreachable_pub))]

use std::io;
use std::path::Path;
use std::sync::{Mutex, mpsc};

use rustix::thread::UnshareFlags;

use super::wire::{Answer, Order, Request};

/// What a pipeline and its host say to each other.
///
/// # Panics
/// Where something is read that could not have been said.
pub fn wire(data: &[u8]) {
    fn said<T: serde::Serialize + for<'a> serde::Deserialize<'a>>(data: &[u8]) {
        if let Ok(what) = serde_json::from_slice::<T>(data) {
            serde_json::to_vec(&what).expect("what has been read can be said");
        }
    }
    said::<Request>(data);
    said::<Order>(data);
    said::<Answer>(data);
}

/// A question for a name, as a container sends it.
pub fn question(data: &[u8]) {
    super::gateway::question(data);
}

/// A thread whose root is a directory, as the process has that unpacks layers of images.
#[derive(Debug)]
pub struct Jail {
    layers: mpsc::Sender<Vec<u8>>,
    done: Mutex<mpsc::Receiver<()>>,
}

impl Jail {
    /// Makes the directory.
    ///
    /// # Errors
    /// Who is not root may not.
    #[allow(unsafe_code)]
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.to_owned();
        let (layers, inbox) = mpsc::channel::<Vec<u8>>();
        let (ready, is_ready) = mpsc::channel();
        let (outbox, done) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: only this thread's root and working directory become its own.
            let alone = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) };
            let entered = alone.and_then(|()| enter(&root));
            let is_inside = entered.is_ok();
            let _ = ready.send(entered);
            for layer in inbox.into_iter().take_while(|_| is_inside) {
                let _ = super::host::unpack::apply(layer.as_slice());
                clear();
                let _ = outbox.send(());
            }
        });
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { layers, done: Mutex::new(done) })
    }

    /// Unpacks a layer, compressed or not, and removes what came of it.
    ///
    /// # Panics
    /// Where unpacking did.
    pub fn unpack(&self, layer: &[u8]) {
        let done = self.done.lock().expect("unpacking did not panic");
        self.layers.send(layer.to_vec()).expect("unpacking did not panic");
        done.recv().expect("unpacking does not panic");
    }
}

fn enter(root: &Path) -> rustix::io::Result<()> {
    rustix::process::chroot(root)?;
    rustix::process::chdir("/")
}

/// Removes everything there is in the root.
fn clear() {
    for entry in std::fs::read_dir("/").into_iter().flatten().flatten() {
        let path = entry.path();
        if std::fs::remove_file(&path).is_err() {
            std::fs::remove_dir_all(&path).expect("what has been unpacked can be removed");
        }
    }
}
