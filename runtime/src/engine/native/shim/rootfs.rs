//! A container's file system: layers, mounts, and the way into it.

use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fstat, mkdirat, mknodat, openat, renameat_with, statat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree, unmount,
};

use super::cgroup::Shown;
use super::confinement::{DEVICES, MASKED, NO_DEVICES, READ_ONLY, SHM};
use super::error::{Context as _, ShimError};
use super::inside;
use super::overlay::{self, Tree};
use crate::engine::native::model::Root;
use crate::engine::native::store::{self, ASIDE};
use crate::engine::native::wire::{Mount, Process, Source};

/// What a container has besides its layers.
pub(super) struct Extras<'a> {
    pub(super) mounts: &'a [Mount],
    pub(super) hostname: &'a str,
    pub(super) hosts: &'a str,
    pub(super) resolver: &'a str,
    pub(super) process: &'a Process,
    /// Who the secrets belong to.
    pub(super) owner: (u32, u32),
    /// The control groups that limit it.
    pub(super) groups: Option<Shown>,
}

/// Makes what every container has something mounted on: one layer for all of them, below everything, where nothing of it is
/// kept. What a user mounts leaves an empty directory or file behind where nothing was, as on every other engine.
pub(super) fn prepare_points() -> Result<(), ShimError> {
    let root =
        openat(CWD, store::MOUNTPOINTS, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.context("what is mounted on")?;
    let directories = ["/proc", "/sys", "/dev"].into_iter().map(|path| (path, true));
    let files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].into_iter().map(|path| (path, false));
    for (path, is_directory) in directories.chain(files) {
        let made = if is_directory {
            inside::make_directory(root.as_fd(), path)
        } else {
            inside::make_file(root.as_fd(), path)
        };
        made.context(path)?;
    }
    Ok(())
}

fn is_directory(source: &Source) -> bool {
    match source {
        Source::Cache { .. } | Source::Memory => true,
        Source::Layers { from, .. } => from.ends_with('/'),
        Source::Secret(_) | Source::Socket(_) => false,
    }
}

/// Mounts everything, and makes the file system the process's own. `/proc` is that of the calling process's namespace.
pub(super) fn enter(tree: &Tree, extras: &Extras<'_>) -> Result<(), ShimError> {
    let root = tree.as_fd();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(root, "", CWD, ASIDE, flags).context("the file system")?;
    let root = openat(CWD, ASIDE, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.context("the file system")?;
    let root = root.as_fd();
    // While nothing of the machine is there yet that a link of the image could lead to.
    for mount in extras.mounts {
        if let Source::Cache { volume, fresh } = &mount.source {
            make_volume(root, &mount.path, volume, fresh)?;
        }
    }
    kernel_file_systems(root, extras)?;
    if !extras.process.security.privileged {
        mask(root)?;
    }
    if let Some(groups) = &extras.groups {
        control_groups(root, groups)?;
    }
    own_files(root, extras)?;
    let mut closed = Vec::new();
    for mount in extras.mounts {
        let at = |fault| ShimError::new(format!("mount at {}: {fault}", mount.path));
        let what = put(root, mount, extras.owner).map_err(at)?;
        if mount.readonly {
            closed.push(what);
        }
    }
    // Not before what is mounted in one has something to be mounted on.
    for what in closed {
        read_only(&what).context("read-only")?;
    }
    rustix::process::fchdir(root).context("the file system")?;
    rustix::process::pivot_root(".", ".").context("the file system's root")?;
    unmount(".", UnmountFlags::DETACH).context("the machine's file system")
}

/// One of the machine's, which stays as it is there, whoever is root here.
fn own_device(path: &str) -> std::io::Result<OwnedFd> {
    let device = open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    read_only(&device)?;
    Ok(device)
}

/// Takes the machine's devices out of what a process is to have open.
pub(super) fn close_devices(streams: &mut [OwnedFd]) -> Result<(), ShimError> {
    for stream in streams {
        if FileType::from_raw_mode(fstat(&*stream).context("a stream")?.st_mode) == FileType::CharacterDevice
        {
            let null = own_device("/dev/null").context("/dev/null")?;
            // The descriptor's own name leads to what it has open, and to nothing else.
            let name = format!("/proc/self/fd/{}", null.as_raw_fd());
            *stream = std::fs::File::open(name).context("/dev/null")?.into();
        }
    }
    Ok(())
}

fn attach(what: &OwnedFd, at: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(what, "", at, "", flags)
}

/// A new file system of a kind, mounted nowhere yet.
fn new(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

const CLOSED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

fn kernel_file_systems(root: BorrowedFd<'_>, extras: &Extras<'_>) -> Result<(), ShimError> {
    let is_privileged = extras.process.security.privileged;
    let place = |path: &str, what: rustix::io::Result<OwnedFd>| -> Result<(), ShimError> {
        let at = inside::make_directory(root, path).context(path)?;
        attach(&what.context(path)?, &at).context(path)
    };
    place("/proc", new("proc", &[], CLOSED))?;
    let sys = if is_privileged { CLOSED } else { CLOSED | MountAttrFlags::MOUNT_ATTR_RDONLY };
    place("/sys", new("sysfs", &[], sys))?;
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let restricted = if is_privileged { nosuid } else { nosuid | NO_DEVICES };
    let dev = new("tmpfs", &[("mode", "755"), ("size", "65536k")], restricted).context("/dev")?;
    attach(&dev, &inside::make_directory(root, "/dev").context("/dev")?).context("/dev")?;
    // It is new, so nothing in it is the image's.
    let place = |name: &str, what: rustix::io::Result<OwnedFd>| -> Result<(), ShimError> {
        let path = format!("/dev/{name}");
        mkdirat(&dev, name, Mode::from_raw_mode(0o755)).context(&path)?;
        attach(&what.context(&path)?, &inside::find_at(&dev, name).context(&path)?).context(&path)
    };
    let terminals = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    place("pts", new("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], terminals))?;
    let size = extras.process.limits.shm.unwrap_or(SHM).to_string();
    place("shm", new("tmpfs", &[("mode", "1777"), ("size", &size)], CLOSED))?;
    place("mqueue", new("mqueue", &[], CLOSED))?;
    for device in DEVICES {
        let path = format!("/dev/{device}");
        let found = own_device(&path).context(&path)?;
        mknodat(&dev, device, FileType::RegularFile, Mode::from_raw_mode(0o644), 0).context(&path)?;
        attach(&found, &inside::find_at(&dev, device).context(&path)?).context(&path)?;
    }
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ];
    for (to, name) in links {
        rustix::fs::symlinkat(to, &dev, name).context(name)?;
    }
    Ok(())
}

/// So that a program can ask how much it may use, as runtimes with a heap do.
fn control_groups(root: BorrowedFd<'_>, groups: &Shown) -> Result<(), ShimError> {
    const AT: &str = "/sys/fs/cgroup";
    let closed = CLOSED | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let place = |what: &OwnedFd, path: &str| -> Result<(), ShimError> {
        let at = inside::find(root, path).context(path)?;
        attach(what, &at).context(path)
    };
    match groups {
        Shown::Unified => place(&new("cgroup2", &[], closed).context(AT)?, AT),
        Shown::Single(controllers) => {
            let memory = new("tmpfs", &[("mode", "755"), ("size", "64k")], CLOSED).context(AT)?;
            for controller in controllers {
                mkdirat(&memory, controller.name(), Mode::from_raw_mode(0o755)).context(AT)?;
            }
            read_only(&memory).context(AT)?;
            place(&memory, AT)?;
            for controller in controllers {
                let controller_option = CString::new(controller.name()).context(AT)?;
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
                let path = format!("{AT}/{}", controller.name());
                let at = inside::find(root, &path).context(&path)?;
                let at = format!("/proc/self/fd/{}", at.as_raw_fd());
                mount(c"cgroup", at.as_str(), c"cgroup", flags, Some(controller_option.as_c_str()))
                    .context(&path)?;
            }
            Ok(())
        }
    }
}

/// `/etc/hosts` and its like: read-only files in memory over whatever the image has there.
fn own_files(root: BorrowedFd<'_>, extras: &Extras<'_>) -> Result<(), ShimError> {
    let memory =
        new("tmpfs", &[("mode", "755"), ("size", "1m")], CLOSED).context("a file system in memory")?;
    let files = [
        ("hosts", extras.hosts.to_owned()),
        ("hostname", format!("{}\n", extras.hostname)),
        ("resolv.conf", extras.resolver.to_owned()),
    ];
    for (name, text) in files {
        let path = format!("/etc/{name}");
        let at = inside::make_file(root, &path).context(&path)?;
        write_in(&memory, name, text.as_bytes(), 0o644, (0, 0)).context(&path)?;
        attach(&piece(&memory, name).context(&path)?, &at).context(&path)?;
    }
    Ok(())
}

fn write_in(at: &OwnedFd, name: &str, contents: &[u8], mode: u32, owner: (u32, u32)) -> std::io::Result<()> {
    let mut file = inside::create_at(at, name, mode)?;
    let (user, group) = (rustix::fs::Uid::from_raw(owner.0), rustix::fs::Gid::from_raw(owner.1));
    rustix::fs::fchown(&file, Some(user), Some(group))?;
    file.write_all(contents)
}

/// A part of a file system, to be mounted.
fn piece(of: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    open_tree(of, name, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// Mounts one thing, and gives what is mounted.
fn put(root: BorrowedFd<'_>, mount: &Mount, owner: (u32, u32)) -> Result<OwnedFd, ShimError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let what = match &mount.source {
        Source::Cache { volume, .. } => {
            let tree = open_tree(CWD, volume, flags).context(volume.display())?;
            restrict(&tree, NO_DEVICES).context(volume.display())?;
            tree
        }
        Source::Socket(path) => {
            let found = statat(CWD, path, AtFlags::empty()).context(path.display())?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
                return Err(ShimError::new(format!("{} is no socket", path.display())));
            }
            let socket = open_tree(CWD, path, flags).context(path.display())?;
            // To connect to it is no writing. Who it belongs to is the machine's matter.
            read_only(&socket).context(path.display())?;
            socket
        }
        Source::Memory => new("tmpfs", &[("mode", "1777")], CLOSED).context("a file system in memory")?,
        Source::Secret(contents) => {
            let memory = new("tmpfs", &[("mode", "755"), ("size", "16m")], CLOSED);
            let memory = memory.context("a file system in memory")?;
            write_in(&memory, "secret", contents, 0o400, owner).context("a secret")?;
            piece(&memory, "secret").context("a secret")?
        }
        Source::Layers { layers, from, scratch } => {
            let root = Root { layers: layers.clone(), changes: Some(scratch.clone()) };
            let other = overlay::open(&root)?;
            let found = inside::find(other.as_fd(), from).context(from)?;
            let flags = flags | OpenTreeFlags::AT_EMPTY_PATH;
            open_tree(&found, "", flags).context(from)?
        }
    };
    let at = if is_directory(&mount.source) {
        inside::make_directory(root, &mount.path)
    } else {
        inside::make_file(root, &mount.path)
    };
    attach(&what, &at.context("what it is mounted on")?).context("the mount")?;
    Ok(what)
}

/// A cache is made whole or not at all, and by one container, whatever others do at the same time. What it has first is what
/// the image has there.
fn make_volume(root: BorrowedFd<'_>, path: &str, volume: &Path, fresh: &Path) -> Result<(), ShimError> {
    if volume.is_dir() {
        return Ok(());
    }
    if let Ok(found) = inside::directory(root, path) {
        let into = inside::directory_at(CWD, fresh).context(fresh.display())?;
        super::copy::copy_contents(&found, into.as_fd()).context("what a new cache has first")?;
        super::attributes::set_like(&found, &into).context("what a new cache has first")?;
    }
    match renameat_with(CWD, fresh, CWD, volume, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(ShimError::new(format!("{}: {error}", volume.display()))),
    }
}

pub(super) fn read_only(what: &OwnedFd) -> std::io::Result<()> {
    restrict(what, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// `mount_setattr(2)`, which rustix does not have.
#[allow(unsafe_code)]
fn restrict(what: &OwnedFd, more: MountAttrFlags) -> std::io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: more.bits().into(), attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: both pointers are to memory that outlives the call, and the size is that of the structure.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            what.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Before anything of the container's is mounted, so that each path is the kernel's own.
fn mask(root: BorrowedFd<'_>) -> Result<(), ShimError> {
    let masked = MASKED.into_iter().flat_map(|path| matching(root, path));
    for path in masked {
        // Not every kernel has all of it.
        let Ok(at) = inside::find(root, &path) else { continue };
        let kind = FileType::from_raw_mode(fstat(&at).context(&path)?.st_mode);
        let cover = if kind == FileType::Directory {
            new("tmpfs", &[("size", "0")], CLOSED | MountAttrFlags::MOUNT_ATTR_RDONLY).context(&path)?
        } else {
            own_device("/dev/null").context(&path)?
        };
        attach(&cover, &at).context(&path)?;
    }
    for path in READ_ONLY {
        let Ok(at) = inside::find(root, path) else { continue };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let flags = flags | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
        let copy = open_tree(&at, "", flags).context(path)?;
        read_only(&copy).context(path)?;
        attach(&copy, &at).context(path)?;
    }
    Ok(())
}

/// The paths that one with a `*` at the end of a directory's name means.
fn matching(root: BorrowedFd<'_>, path: &str) -> Vec<String> {
    let parts = path.split_once("*/").and_then(|(start, below)| Some((start.rsplit_once('/')?, below)));
    let Some(((above, start), below)) = parts else { return vec![path.to_owned()] };
    let found = inside::find(root, above).and_then(|above| inside::directory(above.as_fd(), "."));
    let names = found.and_then(rustix::fs::Dir::new);
    let names = names.into_iter().flatten().filter_map(Result::ok);
    names
        .filter_map(|entry| {
            let name = entry.file_name().to_str().ok()?;
            let path = name.starts_with(start).then(|| format!("{above}/{name}/{below}"))?;
            inside::find(root, &path).is_ok().then_some(path)
        })
        .collect()
}

/// The processes of the calling process's namespace.
pub(super) fn mount_proc(at: &Path) -> std::io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount(c"proc", at.as_c_str(), c"proc", flags, None)?)
}
