//! How much processes may use.

use serde::{Deserialize, Serialize};

/// Each limit with its type, and how a plan shows it. Identities take them apart by hand, as each may count or not.
macro_rules! limits {
    ($($(#[$docs:meta])* $field:ident: $type:ty = $shown:literal;)*) => {
        /// What is not said is as the engine has it.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub(crate) struct Limits {
            $($(#[$docs])* pub(crate) $field: Option<$type>,)*
        }

        impl Limits {
            /// What `later` says counts from here on.
            pub(crate) fn set(&mut self, later: &Self) {
                $(self.$field = later.$field.or(self.$field);)*
            }

            /// As statements, for people.
            pub(crate) fn shown(&self) -> Vec<String> {
                let shown = [$(self.$field.map(|amount| format!($shown, amount))),*];
                shown.into_iter().flatten().collect()
            }
        }
    };
}

limits! {
    /// Processors, as a number that may be a fraction: of all processes of a container together.
    cpu: f64 = "limit cpu {}";
    /// Memory in bytes, of all processes together.
    memory: u64 = "limit memory {} bytes";
    /// Processes and threads.
    pids: u32 = "limit pids {}";
    /// Files that each process may have open.
    nofile: u32 = "limit nofile {}";
    /// Bytes of the core file of each process that dies.
    core: u64 = "limit core {} bytes";
    /// Bytes at `/dev/shm`.
    shm: u64 = "shm {} bytes";
}
