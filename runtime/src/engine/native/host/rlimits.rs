//! Limits of each process (getrlimit(2)).
//!
//! A container's are not those of the shell that the pipeline was started from, so that no result depends on it: they are
//! what Docker's containers have, as far as the pipeline has the right to give them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::fault::Fault;
use crate::engine::native::wire::Process;

const UNLIMITED: Option<u64> = None;

/// The soft and the hard limit. How many signals may be pending is left out: the kernel takes that from the machine's size,
/// and nobody sets it.
const DEFAULTS: [(Resource, Option<u64>, Option<u64>); 14] = [
    // What Docker's service is given, for its containers to inherit. `infinity` files are no more than these.
    (Resource::Nofile, Some(1 << 20), Some(1 << 20)),
    (Resource::Nproc, UNLIMITED, UNLIMITED),
    (Resource::Core, UNLIMITED, UNLIMITED),
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

/// Takes what the process is to be given, as long as this one may say why it cannot: later there is an error number at
/// most. What this one itself uses stays as it is.
pub(super) fn permit(process: &Process) -> Result<(), Fault> {
    let Some(number) = process.nofile.map(u64::from) else { return Ok(()) };
    let own = getrlimit(Resource::Nofile);
    if own.maximum.is_none_or(|own| number <= own) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { maximum: Some(number), ..own }).map_err(|error| {
        let most = own.maximum.unwrap_or_default();
        Fault::new(format!(
            "limit nofile of {number}: {error}\n\nhelp: the pipeline itself may open {most} files and may allow no more: raise that (`ulimit -Hn`, limits.conf(5), systemd's `LimitNOFILE=`; up to what sysctl `fs.nr_open` says), or ask for fewer"
        ))
    })
}

/// Of the calling process, for the program that it is about to execute.
pub(super) fn apply(process: &Process) -> std::io::Result<()> {
    for (resource, soft, hard) in DEFAULTS {
        if resource != Resource::Nofile || process.nofile.is_none() {
            default(resource, soft, hard);
        }
    }
    if let Some(number) = process.nofile.map(u64::from) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum: Some(number) })?;
    }
    Ok(())
}

/// Where the right to more is missing it is as much as there is.
fn default(resource: Resource, soft: Option<u64>, hard: Option<u64>) {
    if setrlimit(resource, Rlimit { current: soft, maximum: hard }).is_err() {
        let own = getrlimit(resource).maximum;
        let limit = Rlimit { current: lower(soft, own), maximum: lower(hard, own) };
        let _ = setrlimit(resource, limit);
    }
}

fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
