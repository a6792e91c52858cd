//! Settings of the kernel that a container has for itself (namespaces(7)).

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::error::ShimError;
use super::user;
use crate::arguments;

/// Of the calling process's namespaces, by the shim's own `/proc`. What is written there has been judged, and is judged
/// again: of a name that is no container's own, it would be the machine's.
pub(super) fn set(sysctls: &BTreeMap<String, String>) -> Result<(), ShimError> {
    for (name, value) in sysctls {
        arguments::sysctl(name).map_err(|problem| ShimError::new(problem.to_string()))?;
        std::fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value).map_err(|error| {
            let help = match error.kind() {
                ErrorKind::NotFound => "the kernel has no such setting, or none for each container",
                ErrorKind::InvalidInput => "the kernel does not take this value",
                // Those of IPC namespaces, before Linux 6.1.
                ErrorKind::PermissionDenied if user::is_entered() => {
                    "without root this kernel lets nobody change it: run the pipeline as root"
                }
                _ => "this kernel does not let a container change it",
            };
            ShimError::new(format!("sysctl {name} = {value}: {error}\n\nhelp: {help}"))
        })?;
    }
    Ok(())
}
