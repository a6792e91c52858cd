//! Rules for paths inside a container, and for places where nothing can be put.
//!
//! As `rules.rs`: one file for both crates (the runtime's is a link to this one).

use crate::arguments::{shortened, text};
use crate::rules::Problem;

type Checked = Result<(), Problem>;

/// Linux takes no longer paths (`PATH_MAX` with the NUL at the end, `NAME_MAX`).
fn length(what: &str, path: &str) -> Checked {
    if path.len() > 4095 || path.split('/').any(|part| part.len() > 255) {
        let message = format!("{what} `{}` is too long", shortened(path));
        return Err(Problem::new(message).help("at most 4,095 bytes, and 255 between two `/`"));
    }
    Ok(())
}

/// The prefix of whiteouts: names in a layer that mark another as deleted (OCI image layer specification, "whiteouts").
pub(crate) const WHITEOUT: &str = ".wh.";

/// A path to put something at: absolute, not the root itself, and representable in an image.
pub(crate) fn absolute_path(what: &str, path: &str) -> Checked {
    readable_path(what, path)?;
    if plain_path(path) == "/" {
        return Err(Problem::new(format!("{what} `{path}` is the root")).help("name a path below it"));
    }
    if let Some(part) = path.split('/').find(|part| part.starts_with(WHITEOUT)) {
        return Err(Problem::new(format!(
            "{what} `{path}`: no image can have a name that starts with `{WHITEOUT}`"
        ))
        .help(format!("another name than `{part}`, which says in a layer that something is gone")));
    }
    Ok(())
}

/// A path to read: absolute, and within the kernel's limits.
pub(crate) fn readable_path(what: &str, path: &str) -> Checked {
    text(what, path)?;
    if !path.starts_with('/') {
        let fixed = path.trim_start_matches("./");
        return Err(Problem::new(format!("{what} `{path}` is not absolute")).help(format!("`/{fixed}`")));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Problem::new(format!("{what} `{path}` contains `..`")).help("write the path it leads to"));
    }
    length(what, path)
}

/// Normalises a path: `/a//b/./` is `/a/b`.
pub(crate) fn plain_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Whether a normalised path equals another one or lies below it.
pub(crate) fn lies_in(path: &str, other: &str) -> bool {
    other == "/" || path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Files that every engine mounts its own over, and what to do instead.
const OF_THE_ENGINE: [(&str, &str); 3] = [
    ("/etc/hosts", "`bind` a service under the name; or write the lines in the step that needs them"),
    ("/etc/hostname", "`hostname \"name\";`"),
    ("/etc/resolv.conf", "mount the file read-only: `mount FILE at \"/etc/resolv.conf\" readonly;`"),
];

/// A path to place something at in the file system itself: not where something is mounted while a process runs.
pub(crate) fn placed_path(what: &str, path: &str) -> Checked {
    absolute_path(what, path)?;
    let plain = plain_path(path);
    if let Some((_, instead)) = OF_THE_ENGINE.iter().find(|(own, _)| *own == plain) {
        let message = format!("{what} `{path}` is the engine's own: what is put there is never seen");
        return Err(Problem::new(message).help(*instead));
    }
    let kernels = ["/dev", "/proc", "/sys"].into_iter().find(|own| lies_in(&plain, own));
    match kernels {
        Some(own) => Err(Problem::new(format!(
            "{what} `{path}` lies in `{own}`, which is the kernel's: what is put there is never seen"
        ))
        .help("choose another path")),
        None => Ok(()),
    }
}

/// A mount point. Mounting in `/dev` is allowed: a socket for a log, shared memory.
pub(crate) fn mounted_path(what: &str, path: &str) -> Checked {
    absolute_path(what, path)?;
    let plain = plain_path(path);
    if plain == "/dev" || lies_in(&plain, "/proc") || lies_in(&plain, "/sys") {
        return Err(Problem::new(format!("{what} `{path}` is the kernel's")).help("choose another path"));
    }
    Ok(())
}

/// A working directory; a relative one is joined to the previous one.
pub(crate) fn workdir(path: &str) -> Checked {
    if path.is_empty() {
        return Err(Problem::new("an empty working directory").help("`/` is the root"));
    }
    text("working directory", path)?;
    length("working directory", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_fit_a_kernel() {
        let message = |checked: Checked| checked.err().map_or("ok".to_owned(), |problem| problem.to_string());
        assert_eq!(
            message(absolute_path("mount path", "data")),
            "mount path `data` is not absolute\n\nhelp: `/data`"
        );
        assert_eq!(message(absolute_path("path", "/a//b/./c/")), "ok");
        for bad in ["", "/", "//", "/.", "/a/../b", "/a\0b"] {
            assert!(absolute_path("path", bad).is_err(), "{bad:?}");
        }
        assert!(absolute_path("path", &format!("/{}", "a".repeat(256))).is_err());
        assert!(absolute_path("path", &"/a".repeat(2048)).is_err());
        assert!(absolute_path("path", &format!("/{}", "a".repeat(255))).is_ok());
        assert!(readable_path("path", "/").is_ok() && readable_path("path", "a").is_err());
    }

    #[test]
    fn nothing_is_put_where_it_would_not_be_seen() {
        for bad in ["/etc/hosts", "/etc//hostname/", "/etc/resolv.conf", "/dev/x", "/proc", "/sys/x"] {
            assert!(placed_path("file path", bad).is_err(), "{bad}");
        }
        for good in ["/etc/hosts.allow", "/device", "/etc", "/opt/proc"] {
            assert!(placed_path("file path", good).is_ok(), "{good}");
        }
        for bad in ["/proc", "/proc/x", "/sys/", "/dev", "/dev/.", "/"] {
            assert!(mounted_path("mount path", bad).is_err(), "{bad}");
        }
        for good in ["/dev/log", "/dev/shm", "/etc/resolv.conf", "/system"] {
            assert!(mounted_path("mount path", good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_path_lies_in_another_by_its_parts() {
        assert!(lies_in("/a/b", "/a") && lies_in("/a", "/a") && lies_in("/a", "/"));
        assert!(!lies_in("/ab", "/a") && !lies_in("/a", "/a/b"));
        assert_eq!(plain_path("//a/./b/"), "/a/b");
        assert_eq!(plain_path("/./"), "/");
    }
}
