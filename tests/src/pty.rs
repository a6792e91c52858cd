//! A person at a terminal: a program that runs at a pseudo-terminal, what is typed there, and what is seen.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::eventually;

const WITHIN: Duration = Duration::from_secs(60);

/// A program at a terminal of its own, of 80 by 24 characters.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    master: File,
    slave: OwnedFd,
    before: String,
    seen: Arc<Mutex<Vec<u8>>>,
    /// How much of that has been waited for.
    passed: usize,
}

impl Pty {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, args: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let master = File::from(master);
        resize(&master, 80, 24);
        let end = || slave.try_clone().unwrap();
        // Whoever runs the tests may ignore a hang-up, as `nohup` does, and it would be inherited.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=HUP", "setsid", "--ctty", program])
            .args(args)
            .stdin(end())
            .stdout(end())
            .stderr(end());
        command.envs([("BOWLINE_PROGRESS", "log"), ("NO_COLOR", "1")]);
        let child = command.spawn().unwrap();
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (into, mut from) = (seen.clone(), master.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length) = from.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        let before = shown(&tcgetattr(&slave).unwrap());
        Self { child, master, slave, before, seen, passed: 0 }
    }

    /// Types a text.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is seen, after what was waited for before; gives what came before it.
    ///
    /// # Panics
    /// When it is not seen in time.
    pub fn sees(&mut self, text: &str) -> String {
        let seen = || String::from_utf8_lossy(&self.seen.lock().unwrap()[self.passed..]).into_owned();
        let within = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("it is seen", WITHIN, || seen().contains(text));
        }));
        let seen = seen();
        assert!(within.is_ok(), "{text:?} is not seen in: {seen}");
        let (before, _) = seen.split_once(text).unwrap();
        self.passed += before.len() + text.len();
        before.to_owned()
    }

    /// Everything that has been seen.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.master, columns, rows);
    }

    /// Whether the terminal is in the mode that it was in at first.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        shown(&tcgetattr(&self.slave).unwrap()) == self.before
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", WITHIN, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The signal that the program ended by.
    pub fn end_signal(&mut self) -> Option<i32> {
        self.end().signal()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(mode: &Termios) -> String {
    format!("{:?} {:?} {:?}", mode.input_modes, mode.output_modes, mode.local_modes)
}

fn resize(master: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}
