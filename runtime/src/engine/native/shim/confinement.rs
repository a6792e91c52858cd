//! What a container may do: all of it in one place, for whoever wants to judge it.
//!
//! | what | where it takes effect |
//! | --- | --- |
//! | capabilities, and over what: `../capabilities.rs` | [`renounce`], as the last thing before the program is executed |
//! | a user namespace of its own, where it has more | `users.rs` |
//! | system calls: `filter/calls.rs` | [`install_filter`] |
//! | what each process may use: [`LIMITS`] | `rlimits.rs` |
//! | what all of them may use | `cgroup.rs`, where the pipeline says so |
//! | devices: [`DEVICES`]; no file system has others: [`NO_DEVICES`] | `rootfs.rs` |
//! | what it does not see: [`MASKED`], or not write to: [`READ_ONLY`] | `rootfs.rs` |
//! | the network's settings: [`NETWORK`] | `network.rs` |
//! | others, where the pipeline says so | `sysctls.rs` |
//! | as whom it speaks in a network | `ports.rs` |
//! | where it reaches the world | `../gateway/reach.rs` |
//! | paths of its image | `inside.rs` |
//! | the pipeline's program and environment | `program.rs` |
//!
//! Namespaces are made in `container.rs`. A privileged container has all rights of the shim, no filter, and nothing is
//! masked. `no_new_privileges` is not set, as with Docker: images rely on `sudo`.

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Resource;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::error::{Context as _, ShimError};
pub(super) use super::filter::install as install_filter;
use super::guard::{self, permitted};
use super::user;
use crate::engine::native::capabilities;
use crate::engine::user::User;
use crate::model::{Grant, SecurityContext};

/// Bound from the machine, read-only: they can be written to, but not given to somebody else or to everybody.
pub(super) const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// Of every file system of a container but its `/dev`, and of the machine's directories in it. What a program of a cache
/// may become by set-user-ID it may: it is no more than the container may, and as with Docker's volumes.
pub(super) const NO_DEVICES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;

/// What is in the kernel's file systems and nobody's business, as Docker has it; and, by a name with `*`, of every
/// processor: interrupts and temperatures tell what others do, and what the machine draws in power tells their keys.
pub(super) const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
];

pub(super) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Whoever a process is, it may listen on every port, as with Docker: all of them are the container's own. No service is a
/// router, so nothing counts of what routers say: of IPv6, whose routers anybody can pretend to be, there is nothing at all
/// (its `all` is for links that come later too, which that of IPv4 is not).
pub(super) const NETWORK: [(&str, &str); 4] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/conf/all/accept_redirects", "0"),
    ("/proc/sys/net/ipv4/conf/default/accept_redirects", "0"),
    ("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"),
];

/// Bytes at `/dev/shm` where nothing else is said, as with Docker.
pub(super) const SHM: u64 = 64 << 20;

const UNLIMITED: Option<u64> = None;

/// The soft and the hard limit (getrlimit(2)). How many signals may be pending is left out: the kernel takes that from the
/// machine's size, and nobody sets it.
pub(super) const LIMITS: [(Resource, Option<u64>, Option<u64>); 14] = [
    // What Docker's service is given, for its containers to inherit. `infinity` files are no more than these.
    (Resource::Nofile, Some(1 << 20), Some(1 << 20)),
    (Resource::Nproc, UNLIMITED, UNLIMITED),
    // In the memory of a process are its secrets, and what it leaves in its directory is kept. Who wants it may ask for it.
    (Resource::Core, Some(0), UNLIMITED),
    // What the kernel gives a machine's first process, and nobody in between changes: a stack that is unlimited moves
    // all that is mapped, so even its soft limit is seen by programs.
    (Resource::Stack, Some(8 << 20), UNLIMITED),
    (Resource::Memlock, Some(8 << 20), Some(8 << 20)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, UNLIMITED, UNLIMITED),
    (Resource::Cpu, UNLIMITED, UNLIMITED),
    (Resource::Fsize, UNLIMITED, UNLIMITED),
    (Resource::Data, UNLIMITED, UNLIMITED),
    (Resource::As, UNLIMITED, UNLIMITED),
    (Resource::Locks, UNLIMITED, UNLIMITED),
];

/// Becomes a user, with the capabilities that they have in a container and no others: what the pipeline would hand on to
/// programs with capabilities of their own (capabilities(7), "inheritable") is nobody's.
pub(super) fn renounce(user: &User, security: &SecurityContext) -> std::io::Result<()> {
    let rights = (!security.privileged).then(|| rights(security));
    if let Some(rights) = rights {
        limit_bounding_set(rights)?;
    }
    rustix::thread::clear_ambient_capability_set()?;
    let own = rustix::thread::capabilities(None)?;
    become_user(user)?;
    let kept = match (user.uid, rights) {
        (0, None) => own.permitted,
        (0, Some(rights)) => rights,
        _ => CapabilitySet::empty(),
    };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// The capabilities of a container that is not privileged.
pub(super) fn rights(security: &SecurityContext) -> CapabilitySet {
    permitted(capabilities::wanted(&security.capabilities))
}

/// Whether the calling process may give them, as long as it can say why not.
pub(super) fn permit(security: &SecurityContext) -> Result<(), ShimError> {
    if security.privileged {
        return Ok(());
    }
    let own = rustix::thread::capabilities(None).context("its capabilities")?;
    let wanted = capabilities::wanted(&security.capabilities);
    if let Some(refusal) = capabilities::refusal(wanted, own.permitted, !user::is_entered()) {
        return Err(ShimError::new(refusal));
    }
    // Who has them could speak as anybody.
    let added = |name: &String| ["NET_ADMIN", "NET_RAW"].contains(&name.as_str());
    if security.capabilities.names(Grant::Added).any(added) { guard::check() } else { Ok(()) }
}

fn limit_bounding_set(rights: CapabilitySet) -> std::io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if rights.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no such capability, and so none after it.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn become_user(user: &User) -> std::io::Result<()> {
    let groups: Vec<libc::gid_t> = user.groups.clone();
    // SAFETY: plain calls; the list outlives its own. All of them are of the one thread of this process.
    let failed = unsafe {
        libc::setgroups(groups.len(), groups.as_ptr()) != 0
            || libc::setresgid(user.gid, user.gid, user.gid) != 0
            || libc::setresuid(user.uid, user.uid, user.uid) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
