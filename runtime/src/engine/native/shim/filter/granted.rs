//! The calls that are refused unless a container has a capability for them, as in Docker's default: by the numbers that
//! programs of each kind know them by.

use libc::c_long;
use rustix::thread::CapabilitySet;

/// Calls that a capability allows.
pub(super) type Granted = &'static [(CapabilitySet, &'static [c_long])];

/// Of programs of this machine's own kind.
pub(super) const NATIVE: Granted = &[
    (
        CapabilitySet::SYS_ADMIN,
        &[
            libc::SYS_bpf,
            libc::SYS_fanotify_init,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_perf_event_open,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_setns,
            libc::SYS_syslog,
            libc::SYS_umount2,
            libc::SYS_unshare,
        ],
    ),
    (CapabilitySet::DAC_READ_SEARCH, &[libc::SYS_open_by_handle_at]),
    (CapabilitySet::SYS_BOOT, &[libc::SYS_reboot]),
    (CapabilitySet::SYS_MODULE, &[libc::SYS_delete_module, libc::SYS_finit_module, libc::SYS_init_module]),
    (CapabilitySet::SYS_NICE, &[libc::SYS_get_mempolicy, libc::SYS_mbind, libc::SYS_set_mempolicy, 450]),
    (CapabilitySet::SYS_PACCT, &[libc::SYS_acct]),
    (CapabilitySet::SYS_PTRACE, &[libc::SYS_kcmp, libc::SYS_pidfd_getfd, libc::SYS_process_madvise]),
    #[cfg(target_arch = "x86_64")]
    (CapabilitySet::SYS_RAWIO, &[libc::SYS_ioperm, libc::SYS_iopl]),
    (CapabilitySet::SYS_TIME, &[libc::SYS_clock_settime, libc::SYS_settimeofday]),
    (CapabilitySet::SYS_TTY_CONFIG, &[libc::SYS_vhangup]),
    (CapabilitySet::SYSLOG, &[libc::SYS_syslog]),
    (CapabilitySet::BPF, &[libc::SYS_bpf]),
    (CapabilitySet::PERFMON, &[libc::SYS_perf_event_open]),
];

/// In the order from above; the last of `SYS_ADMIN` are `fsconfig` and its like, from 428 on the same for all.
#[cfg(any(test, target_arch = "x86_64"))]
pub(super) const I386: Granted = &[
    (
        CapabilitySet::SYS_ADMIN,
        &[
            357, 338, 253, 21, 22, 52, 336, 131, 121, 74, 346, 103, 310, 428, 429, 430, 431, 432, 433, 442,
            443,
        ],
    ),
    (CapabilitySet::DAC_READ_SEARCH, &[342]),
    (CapabilitySet::SYS_BOOT, &[88]),
    (CapabilitySet::SYS_MODULE, &[129, 350, 128]),
    (CapabilitySet::SYS_NICE, &[275, 274, 276, 450]),
    (CapabilitySet::SYS_PACCT, &[51]),
    (CapabilitySet::SYS_PTRACE, &[349, 438, 440]),
    (CapabilitySet::SYS_RAWIO, &[101, 110]),
    // With `stime`, and the clock of 64 bits.
    (CapabilitySet::SYS_TIME, &[264, 404, 79, 25]),
    (CapabilitySet::SYS_TTY_CONFIG, &[111]),
    (CapabilitySet::SYSLOG, &[103]),
    (CapabilitySet::BPF, &[357]),
    (CapabilitySet::PERFMON, &[336]),
];

#[cfg(any(test, target_arch = "aarch64"))]
pub(super) const ARM: Granted = &[
    (
        CapabilitySet::SYS_ADMIN,
        &[386, 367, 249, 21, 52, 364, 131, 121, 74, 375, 103, 337, 428, 429, 430, 431, 432, 433, 442, 443],
    ),
    (CapabilitySet::DAC_READ_SEARCH, &[371]),
    (CapabilitySet::SYS_BOOT, &[88]),
    (CapabilitySet::SYS_MODULE, &[129, 379, 128]),
    (CapabilitySet::SYS_NICE, &[320, 319, 321, 450]),
    (CapabilitySet::SYS_PACCT, &[51]),
    (CapabilitySet::SYS_PTRACE, &[378, 438, 440]),
    (CapabilitySet::SYS_TIME, &[262, 404, 79]),
    (CapabilitySet::SYS_TTY_CONFIG, &[111]),
    (CapabilitySet::SYSLOG, &[103]),
    (CapabilitySet::BPF, &[386]),
    (CapabilitySet::PERFMON, &[364]),
];
