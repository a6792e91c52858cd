//! What the kernel shows of a session on the native engine: it has no daemon that could be asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The containers of a session, by their changes' directory: a process's file system is an overlay that names it.
pub(crate) fn containers(session: &str) -> BTreeMap<String, PathBuf> {
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

/// The host names of a session's containers, sorted.
pub(crate) fn hostnames(session: &str) -> Vec<String> {
    let roots = containers(session);
    let mut names: Vec<String> = roots.values().filter_map(|root| own(root)).map(|(name, _)| name).collect();
    names.sort();
    names
}

/// A container's own name and address, as it is told them: the third line, and for a service that calls its machine
/// something else the last.
fn own(root: &Path) -> Option<(String, String)> {
    let hosts = std::fs::read_to_string(root.join("etc/hosts")).ok()?;
    let (address, name) = hosts.lines().nth(2)?.split_once('\t')?;
    Some((name.to_owned(), address.to_owned()))
}

pub(crate) fn find(session: &str, hostname: &str) -> Option<(PathBuf, String)> {
    containers(session).into_values().find_map(|root| {
        let (name, address) = own(&root)?;
        (name == hostname).then_some((root, address))
    })
}

pub(crate) fn address(session: &str, hostname: &str) -> Option<String> {
    Some(find(session, hostname)?.1)
}

/// Where the engine keeps what it keeps.
pub(crate) fn store() -> PathBuf {
    let home = std::env::var_os("BOWLINE_HOME").map(PathBuf::from);
    let cache = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/bowline"));
    home.or_else(cache).expect("BOWLINE_HOME or HOME is set")
}

/// The session's directory in the store, where one is there.
pub(crate) fn files(session: &str) -> Vec<String> {
    let directory = store().join("scratch").join(session);
    if directory.exists() { vec![directory.display().to_string()] } else { Vec::new() }
}
