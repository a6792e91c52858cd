//! Limits of each process (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    let Some(number) = process.nofile.map(u64::from) else { return Ok(()) };
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum: Some(number) })?)
}
