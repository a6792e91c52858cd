//! Where the program's files are in the repository that a CI job works on. A place has its file as rustc was given it, from
//! the root of the Cargo workspace, which may be any directory of the repository.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// What says where the repository is: GitHub's variable, and GitLab's.
const ROOTS: [&str; 2] = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"];
/// The file that marks the root of a Cargo workspace.
const MARK: &str = "Cargo.lock";

#[derive(Debug)]
struct Repository {
    root: PathBuf,
    /// The workspaces in it that the program may have been built in.
    workspaces: Vec<PathBuf>,
}

/// A file of the program, from the root of the repository; as it is where that is not known.
pub(super) fn path(file: &str) -> Cow<'_, str> {
    static HERE: LazyLock<Option<Repository>> = LazyLock::new(|| {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = ROOTS.into_iter().find_map(set)?;
        // `cargo run` says where the package is; else it is looked for where the program lies, and where it runs.
        let starts = [set("CARGO_MANIFEST_DIR"), std::env::current_exe().ok(), std::env::current_dir().ok()];
        Repository::new(&root, starts.into_iter().flatten())
    });
    HERE.as_ref().and_then(|repository| repository.path(file)).map_or(Cow::Borrowed(file), Cow::Owned)
}

impl Repository {
    fn new(root: &Path, starts: impl Iterator<Item = PathBuf>) -> Option<Self> {
        let root = root.canonicalize().ok()?;
        let mut workspaces: Vec<PathBuf> = Vec::new();
        for start in starts.filter_map(|start| start.canonicalize().ok()) {
            let within = start.ancestors().take_while(|directory| directory.starts_with(&root));
            for workspace in within.filter(|directory| directory.join(MARK).is_file()) {
                if !workspaces.iter().any(|known| known == workspace) {
                    workspaces.push(workspace.to_owned());
                }
            }
        }
        Some(Self { root, workspaces })
    }

    /// A file that is in the repository, from its root.
    fn path(&self, file: &str) -> Option<String> {
        let there = self.workspaces.iter().map(|workspace| workspace.join(file)).find(|path| path.is_file());
        // A crate outside of the workspace is known by its whole path.
        let path = there.unwrap_or_else(|| file.into());
        let path = path.strip_prefix(&self.root).ok()?.to_str()?;
        Some(path.replace(std::path::MAIN_SEPARATOR, "/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_workspace_somewhere_in_a_repository_are_known_from_its_root() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("repository");
        let write = |path: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        for path in
            ["Cargo.lock", "src/main.rs", "rust/Cargo.lock", "rust/src/main.rs", "rust/ci/src/main.rs"]
        {
            write(path);
        }
        write("rust/target/debug/ci");
        std::fs::write(outside.path().join("Cargo.lock"), "").unwrap();
        std::fs::write(outside.path().join("secret.rs"), "").unwrap();
        let from = |start: &str| Repository::new(&root, [root.join(start)].into_iter()).unwrap();
        for start in ["rust/target/debug/ci", "rust/ci", "rust"] {
            let path = |file: &str| from(start).path(file);
            assert_eq!(path("ci/src/main.rs").as_deref(), Some("rust/ci/src/main.rs"), "{start}");
            assert_eq!(path("src/main.rs").as_deref(), Some("rust/src/main.rs"), "the nearest workspace's");
            assert_eq!(path("src/gone.rs"), None);
            assert_eq!(path("secret.rs"), None, "what is outside is nobody's");
            let whole = root.canonicalize().unwrap().join("rust/src/main.rs");
            assert_eq!(path(whole.to_str().unwrap()).as_deref(), Some("rust/src/main.rs"));
        }
        assert_eq!(from("src").path("src/main.rs").as_deref(), Some("src/main.rs"));
        assert!(Repository::new(&root.join("gone"), std::iter::empty()).is_none());
    }
}
