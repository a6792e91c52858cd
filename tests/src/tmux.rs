//! A terminal that draws what it is told: `tmux`, of which the screen can be asked.

use std::process::Command;
use std::time::Duration;

use crate::{eventually, nonce};

/// A screen in which a shell runs.
#[derive(Debug)]
pub struct Tmux {
    server: String,
}

impl Tmux {
    /// Starts one of this size.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(columns: u16, rows: u16) -> Self {
        let this = Self { server: format!("bowline-{}", nonce()) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        this.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "env PS1='$ ' bash --norc",
        ]);
        this.sees("$");
        this
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-u", "-L", &self.server]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a text and Enter.
    pub fn run(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// Presses a key by its name: `C-c`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What is on the screen, without what is right of it and below; a line that takes several rows is one.
    #[must_use]
    pub fn screen(&self) -> String {
        let screen = self.tmux(&["capture-pane", "-p", "-J"]);
        let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// What is on the screen, once a text is.
    ///
    /// # Panics
    /// When it is not in time.
    #[allow(clippy::must_use_candidate, reason = "whoever waits need not look")]
    pub fn sees(&self, text: &str) -> String {
        let mut screen = String::new();
        let within = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("it is seen", Duration::from_secs(60), || {
                screen = self.screen();
                screen.contains(text)
            });
        }));
        assert!(within.is_ok(), "{text:?} is not seen in:\n{}", self.screen());
        screen
    }

    /// Closes the terminal.
    pub fn close(&self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.close();
    }
}
