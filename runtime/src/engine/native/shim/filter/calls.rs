//! The calls that are refused, by the numbers that programs of each kind know them by.

use super::granted::{self, Granted};

pub(super) type Call = libc::c_long;

/// What a kind of program calls its calls.
pub(super) struct Abi {
    /// As a filter sees it (`linux/audit.h`).
    pub(super) architecture: u32,
    /// Refused with EPERM, whatever the arguments are, but for who has a capability for it.
    pub(super) refused: [&'static [Call]; 2],
    pub(super) clone: Call,
    pub(super) unshare: Call,
    pub(super) socket: Call,
    pub(super) personality: Call,
    /// What of these is allowed to who has a capability for it.
    pub(super) granted: Granted,
    /// Numbers of its own, past those of all.
    pub(super) allowed: &'static [Call],
}

/// The kinds that are run here. A program that makes calls of any other is killed: they have other numbers.
#[cfg(target_arch = "x86_64")]
pub(super) const HERE: [&Abi; 2] = [&NATIVE, &I386];
#[cfg(target_arch = "aarch64")]
pub(super) const HERE: [&Abi; 2] = [&NATIVE, &ARM];

pub(super) const NATIVE: Abi = Abi {
    architecture: if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 },
    refused: [NATIVE_REFUSED, REFUSED_HERE],
    granted: granted::NATIVE,
    clone: libc::SYS_clone,
    unshare: libc::SYS_unshare,
    socket: libc::SYS_socket,
    personality: libc::SYS_personality,
    allowed: &[],
};

/// 32-bit programs on x86-64, and others that call as they do (`int 0x80`). What goes through `socketcall` and `ipc` has
/// its arguments in memory, where no filter sees them: both are allowed all the same, as Docker allows them.
#[cfg(any(test, target_arch = "x86_64"))]
pub(super) const I386: Abi = Abi {
    architecture: 0x4000_0003,
    refused: [I386_REFUSED, SINCE_NUMBERS_ARE_THE_SAME],
    granted: granted::I386,
    clone: 120,
    unshare: 310,
    socket: 359,
    personality: 136,
    allowed: &[],
};

/// 32-bit programs on ARM64, of the EABI: a kernel there runs no others. Their own numbers are `breakpoint`,
/// `cacheflush` and `set_tls`.
#[cfg(any(test, target_arch = "aarch64"))]
pub(super) const ARM: Abi = Abi {
    architecture: 0x4000_0028,
    refused: [ARM_REFUSED, SINCE_NUMBERS_ARE_THE_SAME],
    granted: granted::ARM,
    clone: 120,
    unshare: 337,
    socket: 281,
    personality: 136,
    allowed: &[0xF_0001, 0xF_0002, 0xF_0005],
};

/// `clone3`, for everybody.
pub(super) const CLONE3: Call = 435;

/// From 424 on every kind of program has the same.
const SINCE_NUMBERS_ARE_THE_SAME: &[Call] = &[
    425, // io_uring_setup
    426, // io_uring_enter
    427, // io_uring_register
    428, // open_tree
    429, // move_mount
    430, // fsopen
    431, // fsconfig
    432, // fsmount
    433, // fspick
    438, // pidfd_getfd
    440, // process_madvise
    442, // mount_setattr
    443, // quotactl_fd
    450, // set_mempolicy_home_node
    459, // lsm_get_self_attr
    460, // lsm_set_self_attr
    461, // lsm_list_modules
];

/// Refused to programs of this machine's own kind.
const NATIVE_REFUSED: &[Call] = &[
    // The kernel itself: its modules, its successor, its log, its programs.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_lookup_dcookie,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_nfsservctl,
    // The machine's clock and names.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Files by other ways than paths, and who looks on.
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Keys belong to the machine, not to a namespace.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Where memory lies.
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_mbind,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    450, // set_mempolicy_home_node
    // Into other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    // Large, and often the way in.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // What the machine's security modules think.
    459, // lsm_get_self_attr
    460, // lsm_set_self_attr
    461, // lsm_list_modules
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[Call] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    336, // uprobe, which is the kernel's own
    // No kernel has them any more.
    174, // create_module
    177, // get_kernel_syms
    178, // query_module
    libc::SYS_getpmsg,
    libc::SYS_putpmsg,
    libc::SYS_afs_syscall,
    libc::SYS_tuxcall,
    libc::SYS_security,
    libc::SYS_vserver,
];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[Call] = &[294]; // kexec_file_load

/// `arch/x86/entry/syscalls/syscall_32.tbl`, in the order from above; with `umount`, `stime`, and the clocks of 64 bits,
/// which the others do not have, and virtual 8086 machines.
#[cfg(any(test, target_arch = "x86_64"))]
const I386_REFUSED: &[Call] = &[
    128, // init_module
    350, // finit_module
    129, // delete_module
    283, // kexec_load
    88,  // reboot
    103, // syslog
    357, // bpf
    336, // perf_event_open
    253, // lookup_dcookie
    51,  // acct
    87,  // swapon
    115, // swapoff
    131, // quotactl
    169, // nfsservctl
    25,  // stime
    79,  // settimeofday
    264, // clock_settime
    404, // clock_settime64
    74,  // sethostname
    121, // setdomainname
    111, // vhangup
    21,  // mount
    22,  // umount
    52,  // umount2
    217, // pivot_root
    346, // setns
    310, // unshare
    342, // open_by_handle_at
    338, // fanotify_init
    286, // add_key
    287, // request_key
    288, // keyctl
    275, // get_mempolicy
    276, // set_mempolicy
    274, // mbind
    317, // move_pages
    294, // migrate_pages
    349, // kcmp
    374, // userfaultfd
    110, // iopl
    101, // ioperm
    113, // vm86old
    166, // vm86
    86,  // uselib
    62,  // ustat
    135, // sysfs
    149, // _sysctl
];

/// `arch/arm/tools/syscall.tbl`.
#[cfg(any(test, target_arch = "aarch64"))]
const ARM_REFUSED: &[Call] = &[
    128, // init_module
    379, // finit_module
    129, // delete_module
    347, // kexec_load
    401, // kexec_file_load
    88,  // reboot
    103, // syslog
    386, // bpf
    364, // perf_event_open
    249, // lookup_dcookie
    51,  // acct
    87,  // swapon
    115, // swapoff
    131, // quotactl
    169, // nfsservctl
    79,  // settimeofday
    262, // clock_settime
    404, // clock_settime64
    74,  // sethostname
    121, // setdomainname
    111, // vhangup
    21,  // mount
    52,  // umount2
    218, // pivot_root
    375, // setns
    337, // unshare
    371, // open_by_handle_at
    367, // fanotify_init
    309, // add_key
    310, // request_key
    311, // keyctl
    320, // get_mempolicy
    321, // set_mempolicy
    319, // mbind
    344, // move_pages
    400, // migrate_pages
    378, // kcmp
    388, // userfaultfd
    86,  // uselib
    62,  // ustat
    135, // sysfs
    149, // _sysctl
    271, // pciconfig_iobase
    272, // pciconfig_read
    273, // pciconfig_write
];
