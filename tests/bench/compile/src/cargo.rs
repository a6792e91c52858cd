//! Crates to be compiled, and cargo.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;

/// A crate of its own, with a target directory.
pub(crate) struct Project {
    dir: PathBuf,
    target: PathBuf,
    source: String,
    edits: usize,
}

impl Project {
    /// `more` is what stands in the manifest below the package.
    pub(crate) fn create(at: &Path, name: &str, more: &str, source: &str) -> Result<Self> {
        let dir = at.join(name);
        std::fs::create_dir_all(dir.join("src"))?;
        let package =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
        std::fs::write(dir.join("Cargo.toml"), format!("{package}\n{more}"))?;
        let project = Self { target: dir.join("target"), dir, source: source.to_owned(), edits: 0 };
        std::fs::write(project.main(), source)?;
        project.cargo(&["fetch"])?;
        Ok(project)
    }

    /// With what another one has compiled already.
    pub(crate) fn sharing(mut self, other: &Self) -> Self {
        self.target.clone_from(&other.target);
        self
    }

    fn main(&self) -> PathBuf {
        self.dir.join("src/main.rs")
    }

    /// Changes the program: the next compilation is of it alone.
    pub(crate) fn edit(&mut self) -> Result<()> {
        self.edits += 1;
        let text = format!("{}\npub const EDIT: usize = {};\n", self.source, self.edits);
        Ok(std::fs::write(self.main(), text)?)
    }

    pub(crate) fn clean(&self) -> Result<()> {
        if self.target.exists() {
            std::fs::remove_dir_all(&self.target)?;
        }
        Ok(())
    }

    /// What cargo said on standard output and standard error, and how long it took.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<(String, Duration)> {
        let start = Instant::now();
        let output = Command::new("cargo")
            .args(arguments)
            .current_dir(&self.dir)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_TERM_COLOR", "never")
            // For `-Z time-passes`, in every call, so that nothing is compiled anew for it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTFLAGS")
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        let took = start.elapsed();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("`cargo {}` in {}:\n{text}", arguments.join(" "), self.dir.display()).into());
        }
        Ok((text.into_owned(), took))
    }

    /// How many crates are compiled for the program, itself left out.
    pub(crate) fn crates(&self) -> Result<usize> {
        let (text, _) =
            self.cargo(&["tree", "--offline", "--quiet", "--prefix", "none", "--edges", "normal,build"])?;
        let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        lines.sort_unstable();
        lines.dedup();
        Ok(lines.iter().filter(|line| !line.is_empty()).count() - 1)
    }
}
