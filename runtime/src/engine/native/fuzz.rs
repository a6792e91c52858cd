//! Entry points for fuzzing the parsers that only this engine has; see [`crate::engine::fuzz`].

#![cfg_attr(not(fuzzing), allow(unreachable_pub))]

use std::io;
use std::path::Path;
use std::sync::{Mutex, mpsc};

use rustix::thread::UnshareFlags;

use super::wire::{Answer, Order, Request};

/// The messages between a pipeline and its shim.
///
/// # Panics
/// If a message parses that could not have been sent.
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

/// A DNS question, as a container sends it.
pub fn question(data: &[u8]) {
    super::gateway::question(data);
}

/// A thread whose root is a directory, like that of the process that unpacks layers.
#[derive(Debug)]
pub struct Jail {
    layers: mpsc::Sender<Vec<u8>>,
    done: Mutex<mpsc::Receiver<()>>,
}

impl Jail {
    /// Makes the directory.
    ///
    /// # Errors
    /// If the user is not root.
    #[allow(unsafe_code)]
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.to_owned();
        let (layers, inbox) = mpsc::channel::<Vec<u8>>();
        let (ready, is_ready) = mpsc::channel();
        let (outbox, done) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: only this thread gets a root and a working directory of its own.
            let alone = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) };
            let entered = alone.and_then(|()| enter(&root));
            let is_inside = entered.is_ok();
            let _ = ready.send(entered);
            for layer in inbox.into_iter().take_while(|_| is_inside) {
                let _ = super::shim::unpack::apply(layer.as_slice());
                clear();
                let _ = outbox.send(());
            }
        });
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { layers, done: Mutex::new(done) })
    }

    /// Unpacks a layer, compressed or not, and removes the result.
    ///
    /// # Panics
    /// If unpacking panics.
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

/// Removes everything in the root.
fn clear() {
    for entry in std::fs::read_dir("/").into_iter().flatten().flatten() {
        let path = entry.path();
        if std::fs::remove_file(&path).is_err() {
            std::fs::remove_dir_all(&path).expect("what has been unpacked can be removed");
        }
    }
}
