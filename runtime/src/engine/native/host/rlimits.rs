//! Limits of each process (getrlimit(2)).
//!
//! A container's are not those of the shell that the pipeline was started from, so that no result depends on it: they are
//! what Docker's containers have, as far as the pipeline has the right to give them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::confinement::LIMITS;
use super::fault::Fault;
use crate::engine::native::wire::Process;

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
    for (resource, soft, hard) in LIMITS {
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
