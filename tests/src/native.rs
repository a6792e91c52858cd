//! What the kernel shows of a session on the native engine: it has no daemon that could be asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::inspector::Inspector;

pub(crate) const NAME: &str = "the native engine";

/// The native engine, with the store that `BOWLINE_HOME` names.
pub(crate) struct Native;

impl Inspector for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn containers(&self, session: &str) -> Vec<String> {
        // One without a process is none.
        let mut names: Vec<String> = roots(session)
            .into_iter()
            .map(|(number, root)| own(&root).map_or(number, |(name, _)| name))
            .collect();
        names.sort();
        names
    }

    fn running(&self, session: &str) -> Vec<String> {
        self.containers(session)
    }

    fn remains(&self, session: &str) -> Vec<String> {
        let files = store().join("scratch").join(session);
        let files = files.exists().then(|| files.display().to_string());
        self.containers(session).into_iter().chain(files).collect()
    }

    fn address(&self, session: &str, hostname: &str) -> Option<String> {
        Some(find(session, hostname)?.1)
    }

    fn touch(&self, session: &str, hostname: &str, path: &str) {
        let (root, _) = find(session, hostname).expect("it runs");
        std::fs::write(format!("{}{path}", root.display()), "").expect("the file can be written");
    }

    fn has(&self, session: &str, hostname: &str, path: &str) -> bool {
        find(session, hostname).is_some_and(|(root, _)| root.join(&path[1..]).exists())
    }

    fn created_since(&self, _: &str, _: SystemTime) -> Option<usize> {
        None
    }

    fn holding(&self, _: &str, text: &str) -> Vec<String> {
        // It makes containers in its store, and from what is there.
        stored(text)
    }

    fn kept(&self, _: &str, text: &str) -> usize {
        stored(text).len()
    }

    fn pulls(&self, _: &str, _: SystemTime) -> Option<usize> {
        None
    }

    fn names_images(&self) -> bool {
        false
    }

    fn forget_loaded(&self) {}

    fn exported(&self) -> Vec<String> {
        Vec::new()
    }

    fn exports_layouts(&self) -> bool {
        true
    }

    fn sends_only_what_is_missing(&self) -> bool {
        true
    }

    fn may_forget_removals(&self) -> bool {
        false
    }

    fn ends_services(&self) -> bool {
        true
    }

    fn is_well(&self, diagnosis: &str) -> bool {
        let lacks = "  lacks a way to the world for anything but TCP and UDP";
        let (_, own) = diagnosis.split_once("\nnative: ").unwrap_or_default();
        own.starts_with("ready, version ") && own.lines().any(|line| line == lacks) && !own.contains("by UDP")
    }

    fn bare(&self, _: &str, program: &Path) -> Command {
        Command::new(program)
    }

    fn lacks_time(&self) -> Option<&'static str> {
        None
    }

    fn lacks_limits(&self) -> Option<&'static str> {
        // Unless somebody gave this user some of them.
        (!is_root()).then_some("without root it has no control groups")
    }
}

/// Whether this process may do everything on its machine.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Uid:", "0", "0", "0", "0"]))
}

/// The roots of a session's containers, by their changes' directory: a process's file system is an overlay that names it.
fn roots(session: &str) -> BTreeMap<String, PathBuf> {
    let mark = format!("scratch/{session}/");
    let own = namespaces(Path::new("/proc/self"));
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes
        .filter_map(|process| {
            // Two namespaces further down: the one of the host, where a container's supervisor is, and its own.
            if namespaces(&process.path()) != own + 2 {
                return None;
            }
            let mounts = std::fs::read_to_string(process.path().join("mountinfo")).ok()?;
            let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"))?;
            let (_, after) = root.split_once(&mark)?;
            let number = after.split('/').next()?.to_owned();
            Some((number, process.path().join("root")))
        })
        .collect()
}

/// How many process namespaces a process is in.
fn namespaces(process: &Path) -> usize {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.map_or(0, |numbers| numbers.split_whitespace().count())
}

/// A container's own name and address, as it is told them: the third line, and for a service that calls its machine
/// something else the last.
fn own(root: &Path) -> Option<(String, String)> {
    let hosts = std::fs::read_to_string(root.join("etc/hosts")).ok()?;
    let (address, name) = hosts.lines().nth(2)?.split_once('\t')?;
    Some((name.to_owned(), address.to_owned()))
}

fn find(session: &str, hostname: &str) -> Option<(PathBuf, String)> {
    roots(session).into_values().find_map(|root| {
        let (name, address) = own(&root)?;
        (name == hostname).then_some((root, address))
    })
}

/// Where the engine keeps what it keeps.
pub(crate) fn store() -> PathBuf {
    let home = std::env::var_os("BOWLINE_HOME").map(PathBuf::from);
    let cache = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/bowline"));
    home.or_else(cache).expect("BOWLINE_HOME or HOME is set")
}

/// The files of the store that have a text in them.
fn stored(text: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args([
        "--recursive",
        "--text",
        "--fixed-strings",
        "--files-with-matches",
        "--devices=skip",
        "--",
        text,
    ]);
    assert!(store().is_dir(), "there is no store to search");
    let output = grep.arg(store()).output().expect("grep can be run");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
