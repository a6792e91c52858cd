//! Limits by control groups, of either version (cgroups(7)).
//!
//! A container with limits has a group of its own in every hierarchy that it needs, `bowline/<session>/<number>` below
//! what this machine shows as the hierarchy's root, where Docker has `docker/<id>`. Other containers have none.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};

use super::error::{Context as _, ShimError};
use crate::model::Limits;

/// The directory of all sessions' groups.
const ALL: &str = "bowline";

/// The period of CPU limits in microseconds, the same as Docker's.
const PERIOD: u32 = 100_000;

/// The mount point of a controller's hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A container's groups.
#[derive(Debug)]
pub(super) struct Group {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    controller: Controller,
    hierarchy: Hierarchy,
    path: PathBuf,
    /// Opened when it is made: once the container has a root of its own, the supervisor cannot resolve the path any more.
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    above: File,
    own: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Pids];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// The controllers that these limits need.
fn controllers(limits: &Limits) -> Vec<Controller> {
    let cpu = limits.cpu.map(|_| Controller::Cpu);
    let memory = limits.memory.map(|_| Controller::Memory);
    let pids = limits.pids.map(|_| Controller::Pids);
    [cpu, memory, pids].into_iter().flatten().collect()
}

impl Group {
    /// The groups of a container, whether or not they exist; `None` if no limit needs one.
    pub(super) fn find(session: &str, name: &str, limits: &Limits) -> Result<Option<Self>, ShimError> {
        let controllers = controllers(limits);
        if controllers.is_empty() {
            return Ok(None);
        }
        let mounts = mounts().context("/proc/self/mountinfo")?;
        let mut places = Vec::new();
        for controller in controllers {
            let hierarchy = hierarchy(&mounts, controller).ok_or_else(|| {
                let name = controller.name();
                ShimError::new(format!(
                    "this machine has no control group for {name}\n\nhelp: mount one (Debian's package `cgroupfs-mount`, or systemd), or leave the limit out"
                ))
            })?;
            let path = hierarchy.mount.join(ALL).join(session).join(name);
            places.push(Place { controller, hierarchy, path, made: None });
        }
        Ok(Some(Self { places }))
    }

    /// Creates them and sets their limits.
    pub(super) fn make(&mut self, limits: &Limits) -> Result<(), ShimError> {
        for place in &mut self.places {
            let Place { controller, hierarchy, path, .. } = &*place;
            let made = make(hierarchy, path, *controller)
                .and_then(|()| set(path, hierarchy.version, *controller, limits))
                .and_then(|()| open(path))
                .map_err(|error| cannot(*controller, path, &error))?;
            place.made = Some(made);
        }
        Ok(())
    }

    /// Moves the calling process into them.
    pub(super) fn enter(&self) -> Result<(), ShimError> {
        for Place { controller, path, .. } in &self.places {
            fs::write(path.join("cgroup.procs"), "0").map_err(|error| cannot(*controller, path, &error))?;
        }
        Ok(())
    }

    /// Whether the kernel has killed one of its processes because memory ran out.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let memory = self.places.iter().find(|place| place.controller == Controller::Memory);
        memory.is_some_and(|place| {
            let events = match place.hierarchy.version {
                Version::One => "memory.oom_control",
                Version::Two => "memory.events",
            };
            place.made.as_ref().and_then(|made| read(made, events).ok()).is_some_and(|text| kills(&text) > 0)
        })
    }

    /// Removes them; they are empty by now.
    pub(super) fn remove(&self) {
        for place in &self.places {
            if let (Some(made), Some(name)) = (&place.made, place.path.file_name()) {
                let _ = unlinkat(&made.above, name, AtFlags::REMOVEDIR);
            }
        }
    }

    /// What a process in them sees at `/sys/fs/cgroup`: a directory with these controllers, or one unified hierarchy.
    pub(super) fn shown(&self) -> Shown {
        let is_one = |place: &&Place| place.hierarchy.version == Version::One;
        let single: Vec<Controller> =
            self.places.iter().filter(is_one).map(|place| place.controller).collect();
        if single.is_empty() { Shown::Unified } else { Shown::Single(single) }
    }
}

/// How control groups are mounted in a container.
pub(super) enum Shown {
    Unified,
    Single(Vec<Controller>),
}

fn cannot(controller: Controller, place: &Path, error: &io::Error) -> ShimError {
    let name = controller.name();
    let help = match error.raw_os_error() {
        Some(libc::EBUSY | libc::EOPNOTSUPP) => {
            "processes are in the group above, which then cannot have limits below it (cgroups(7), \"no internal processes\"): move them into a group of their own, or leave the limit out"
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            "control groups are not this user's to write here: run as root of the machine, or leave the limit out"
        }
        _ => "leave the limit out where the machine cannot keep it",
    };
    ShimError::new(format!("limit {name} by {}: {error}\n\nhelp: {help}", place.display()))
}

/// The hierarchy of a controller: its own, else the unified one.
fn hierarchy(mountinfo: &str, controller: Controller) -> Option<Hierarchy> {
    let find = |wanted: &str, has: &dyn Fn(&str, &Path) -> bool| {
        mountinfo.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mount = PathBuf::from(before.split(' ').nth(4)?);
            let mut after = after.split(' ');
            let kind = after.next()?;
            let options = after.nth(1)?;
            (kind == wanted && has(options, &mount)).then_some(mount)
        })
    };
    let one = find("cgroup", &|options, _| options.split(',').any(|option| option == controller.name()));
    if let Some(mount) = one {
        return Some(Hierarchy { mount, version: Version::One });
    }
    let has = |_: &str, mount: &Path| {
        fs::read_to_string(mount.join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|name| name == controller.name()))
    };
    find("cgroup2", &has).map(|mount| Hierarchy { mount, version: Version::Two })
}

fn open(path: &Path) -> io::Result<Made> {
    let above = File::open(path.parent().unwrap_or(path))?;
    let own = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Made { above, own })
}

fn read(made: &Made, name: &str) -> io::Result<String> {
    let file = openat(&made.own, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::read_to_string(File::from(file))
}

fn make(hierarchy: &Hierarchy, place: &Path, controller: Controller) -> io::Result<()> {
    // Another session that ends may remove the parent at a moment when it is empty.
    let mut again = 0;
    while let Err(error) = fs::create_dir_all(place) {
        again += 1;
        if error.kind() != io::ErrorKind::NotFound || again > 10 {
            return Err(error);
        }
    }
    if hierarchy.version == Version::Two {
        let above = place.ancestors().skip(1).take_while(|above| above.starts_with(&hierarchy.mount));
        let mut above: Vec<&Path> = above.collect();
        // A group can only enable controllers that its parent has enabled.
        above.reverse();
        for group in above {
            fs::write(group.join("cgroup.subtree_control"), format!("+{}", controller.name()))?;
        }
    }
    Ok(())
}

fn set(place: &Path, version: Version, controller: Controller, limits: &Limits) -> io::Result<()> {
    let write = |name: &str, value: String| fs::write(place.join(name), value);
    // Swap counts as memory, or a limited container would go on there. Kernels without swap accounting have no such file.
    let write_if_there = |name: &str, value: String| match write(name, value) {
        Err(error) if !place.join(name).exists() => {
            let _ = error;
            Ok(())
        }
        other => other,
    };
    match (controller, version) {
        (Controller::Memory, Version::One) => {
            let bytes = limits.memory.unwrap_or(u64::MAX).to_string();
            write("memory.limit_in_bytes", bytes.clone())?;
            write_if_there("memory.memsw.limit_in_bytes", bytes)
        }
        (Controller::Memory, Version::Two) => {
            write("memory.max", limits.memory.map_or("max".to_owned(), |bytes| bytes.to_string()))?;
            write_if_there("memory.swap.max", "0".to_owned())
        }
        (Controller::Cpu, Version::One) => {
            write("cpu.cfs_period_us", PERIOD.to_string())?;
            write("cpu.cfs_quota_us", quota(limits.cpu).to_string())
        }
        (Controller::Cpu, Version::Two) => write("cpu.max", format!("{} {PERIOD}", quota(limits.cpu))),
        (Controller::Pids, _) => {
            write("pids.max", limits.pids.map_or("max".to_owned(), |number| number.to_string()))
        }
    }
}

/// Microseconds in each period; the kernel's minimum is a millisecond.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within what the kernel takes")]
fn quota(processors: Option<f64>) -> u64 {
    (processors.unwrap_or(1.0) * f64::from(PERIOD)).round().clamp(1000.0, 1e12) as u64
}

/// How often memory ran out, as either version counts it.
fn kills(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The mount table as the calling process sees it now. A process that waits for a shim's end has to read it before: the
/// shim's `/proc` is mounted over its own.
pub(super) fn mounts() -> io::Result<String> {
    fs::read_to_string("/proc/self/mountinfo")
}

/// Limits that cannot be set here.
pub(super) fn lacks() -> Vec<String> {
    let mounts = mounts().unwrap_or_default();
    let missing = Controller::ALL.into_iter().filter(|one| hierarchy(&mounts, *one).is_none());
    missing.map(|one| format!("limits of {}: no control group for it is mounted", one.name())).collect()
}

/// Removes the groups of a session's containers, once none of them runs any more.
pub(super) fn remove_all(mounts: &str, session: &str) {
    for controller in Controller::ALL {
        let Some(hierarchy) = hierarchy(mounts, controller) else { continue };
        let all = hierarchy.mount.join(ALL);
        let own = all.join(session);
        for group in fs::read_dir(&own).into_iter().flatten().filter_map(Result::ok) {
            let _ = fs::remove_dir(group.path());
        }
        let _ = fs::remove_dir(own);
        // Fails, rightly, while another session has something there.
        let _ = fs::remove_dir(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found() {
        let hybrid = "\
            30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs cgroup rw,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            40 30 0:36 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found = |controller| hierarchy(hybrid, controller).unwrap();
        assert_eq!(
            [found(Controller::Cpu), found(Controller::Memory)],
            ["cpu", "memory"].map(|name| Hierarchy {
                mount: Path::new("/sys/fs/cgroup").join(name),
                version: Version::One
            })
        );
        // A unified hierarchy, with a directory in place of the mount.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu io memory\n").unwrap();
        let unified = format!("35 24 0:30 / {} rw - cgroup2 cgroup2 rw\n", dir.path().display());
        let wanted = Hierarchy { mount: dir.path().to_owned(), version: Version::Two };
        assert_eq!(hierarchy(&unified, Controller::Memory), Some(wanted));
        fs::write(dir.path().join("cgroup.controllers"), "cpuset\n").unwrap();
        assert_eq!(hierarchy(&unified, Controller::Memory), None);
    }

    #[test]
    fn limits_are_written_as_each_version_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { cpu: Some(1.5), memory: Some(1 << 26), pids: Some(64), ..Limits::default() };
        let written = |controller, version| {
            set(dir.path(), version, controller, &limits).unwrap();
            let mut files: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            let text = |path: &PathBuf| {
                let value = fs::read_to_string(path).unwrap();
                fs::remove_file(path).unwrap();
                format!("{}={value}", path.file_name().unwrap().display())
            };
            files.iter().map(text).collect::<Vec<_>>()
        };
        let bytes = 1 << 26;
        assert_eq!(
            written(Controller::Memory, Version::One),
            [format!("memory.limit_in_bytes={bytes}"), format!("memory.memsw.limit_in_bytes={bytes}")]
        );
        assert_eq!(
            written(Controller::Memory, Version::Two),
            [format!("memory.max={bytes}"), "memory.swap.max=0".to_owned()]
        );
        assert_eq!(
            written(Controller::Cpu, Version::One),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"]
        );
        assert_eq!(written(Controller::Cpu, Version::Two), ["cpu.max=150000 100000"]);
        for version in [Version::One, Version::Two] {
            assert_eq!(written(Controller::Pids, version), ["pids.max=64"]);
        }
        assert_eq!((quota(Some(0.0001)), kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")), (1000, 3));
    }
}
