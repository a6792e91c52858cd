//! Limits of each process (getrlimit(2)).
//!
//! A container's are not those of the shell that the pipeline was started from, so that no result depends on it: they are
//! what Docker's containers have, as far as the pipeline has the right to give them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::confinement::LIMITS;
use super::error::ShimError;
use crate::engine::native::wire::Process;

/// A limit that a pipeline may say, soft and hard.
struct Wanted {
    name: &'static str,
    resource: Resource,
    amount: Option<u64>,
    /// Where more may be allowed.
    raise: &'static str,
}

fn wanted(process: &Process) -> [Wanted; 2] {
    let limits = &process.limits;
    [
        Wanted {
            name: "nofile",
            resource: Resource::Nofile,
            amount: limits.nofile.map(u64::from),
            raise: "`ulimit -Hn`, limits.conf(5), systemd's `LimitNOFILE=`; up to what sysctl `fs.nr_open` says",
        },
        Wanted {
            name: "core",
            resource: Resource::Core,
            amount: limits.core,
            raise: "`ulimit -Hc`, limits.conf(5), systemd's `LimitCORE=`",
        },
    ]
}

/// Takes what the process is to be given, as long as this one may say why it cannot: later there is an error number at
/// most. What this one itself uses stays as it is.
pub(super) fn permit(process: &Process) -> Result<(), ShimError> {
    for Wanted { name, resource, amount, raise } in wanted(process) {
        let own = getrlimit(resource);
        let (Some(amount), Some(most)) = (amount, own.maximum) else { continue };
        if amount > most {
            setrlimit(resource, Rlimit { maximum: Some(amount), ..own }).map_err(|error| {
                ShimError::new(format!(
                    "limit {name} of {amount}: {error}\n\nhelp: the limit of the pipeline itself is {most}, and it may allow no more: raise that ({raise}), or ask for less"
                ))
            })?;
        }
    }
    Ok(())
}

/// Takes what programs have by default, as long as there is the right to: who is root of a user namespace has it not. What
/// the calling process itself uses stays as it is.
pub(super) fn raise() {
    for (resource, _, maximum) in LIMITS {
        let own = getrlimit(resource);
        if own.maximum.is_some_and(|own| maximum.is_none_or(|maximum| maximum > own)) {
            let _ = setrlimit(resource, Rlimit { maximum, ..own });
        }
    }
}

/// Of the calling process, for the program that it is about to execute.
pub(super) fn apply(process: &Process) -> std::io::Result<()> {
    let wanted = wanted(process);
    for (resource, soft, hard) in LIMITS {
        let own = wanted.iter().find(|own| own.resource == resource).and_then(|own| own.amount);
        match own {
            Some(amount) => setrlimit(resource, Rlimit { current: Some(amount), maximum: Some(amount) })?,
            None => default(resource, soft, hard),
        }
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
