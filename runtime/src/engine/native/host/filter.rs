//! Which system calls a container may make: a seccomp(2) filter.
//!
//! As Docker's default, it refuses what reaches past a container's namespaces or into rarely used parts of the kernel,
//! whoever asks. It is written the other way round, as what is refused, and ends at the last call that was known when it
//! was written: later ones are answered as an older kernel answers, so that a program does without them.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// As a filter sees it (`linux/audit.h`). Programs for any other one are not run: their calls have other numbers.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "the native engine has no system call filter for this architecture: leave the feature `native` out"
);

/// `file_setattr`, of Linux 6.17.
const LAST_KNOWN: u32 = 469;

/// Refused with EPERM, whatever the arguments are.
const REFUSED: &[libc::c_long] = &[
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
    libc::SYS_clock_adjtime,
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
    467, // open_tree_attr
    libc::SYS_setns,
    libc::SYS_unshare,
    // Files by other ways than paths, and who looks on.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
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
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[libc::c_long] = &[294]; // kexec_file_load

/// Those of clone(2) that make namespaces. The one for time shares its bit with an exit signal, and needs a right that
/// no container has.
const NAMESPACES: u32 = 0x7E02_0000;

/// Of personality(2): Linux, with or without a name of an older kernel, on 32 bits or not; and "which one is it".
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];

/// Where `struct seccomp_data` has what: both architectures have the lower half of an argument first.
const NUMBER: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const PERMISSION_DENIED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Takes effect on the calling process and on all that it starts, for good.
#[allow(unsafe_code)]
pub(super) fn install() -> std::io::Result<()> {
    let mut program = program();
    let length = u16::try_from(program.len()).map_err(std::io::Error::other)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which outlives the call.
    let failed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn program() -> Vec<sock_filter> {
    let mut program = vec![load(ARCHITECTURE_AT)];
    program.extend(unless(BPF_JEQ, ARCHITECTURE, libc::SECCOMP_RET_KILL_PROCESS));
    program.push(load(NUMBER));
    program.extend(when(BPF_JGT, LAST_KNOWN, NO_SUCH_CALL));
    for call in REFUSED.iter().chain(REFUSED_HERE) {
        program.extend(when(BPF_JEQ, number(*call), PERMISSION_DENIED));
    }
    // Its flags are in memory, where no filter sees them: programs use clone then.
    program.extend(when(BPF_JEQ, number(libc::SYS_clone3), NO_SUCH_CALL));
    let clone = when(BPF_JSET, NAMESPACES, PERMISSION_DENIED);
    program.extend(of_first_argument(libc::SYS_clone, &clone));
    // Sockets to the machine that this one is a guest of.
    let vsock = when(BPF_JEQ, number(libc::c_long::from(libc::AF_VSOCK)), PERMISSION_DENIED);
    program.extend(of_first_argument(libc::SYS_socket, &vsock));
    let mut personalities: Vec<_> =
        PERSONALITIES.into_iter().flat_map(|known| when(BPF_JEQ, known, ALLOW)).collect();
    personalities.push(end(PERMISSION_DENIED));
    program.extend(of_first_argument(libc::SYS_personality, &personalities));
    program.push(end(ALLOW));
    program
}

/// Numbers of calls are small.
fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn instruction(code: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt: then, jf: otherwise, k: value }
}

fn load(at: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

fn end(answer: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, answer, 0, 0)
}

fn when(comparison: u32, value: u32, answer: u32) -> [sock_filter; 2] {
    [instruction(BPF_JMP | comparison | BPF_K, value, 0, 1), end(answer)]
}

fn unless(comparison: u32, value: u32, answer: u32) -> [sock_filter; 2] {
    [instruction(BPF_JMP | comparison | BPF_K, value, 1, 0), end(answer)]
}

/// Looks at the first argument of one call; goes on with the number where nothing of it decided.
fn of_first_argument(call: libc::c_long, checks: &[sock_filter]) -> Vec<sock_filter> {
    let length = u8::try_from(checks.len() + 2).unwrap_or(u8::MAX);
    let mut all = vec![instruction(BPF_JMP | BPF_JEQ | BPF_K, number(call), 0, length), load(FIRST_ARGUMENT)];
    all.extend_from_slice(checks);
    all.push(load(NUMBER));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn answer(architecture: u32, call: libc::c_long, argument: u32) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let holds = match code & 0xF0 {
                _ if code == BPF_RET | BPF_K => return k,
                _ if code == BPF_LD | BPF_W | BPF_ABS => {
                    value = match k {
                        NUMBER => number(call),
                        ARCHITECTURE_AT => architecture,
                        FIRST_ARGUMENT => argument,
                        _ => panic!("nothing is at {k}"),
                    };
                    continue;
                }
                BPF_JEQ => value == k,
                BPF_JGT => value > k,
                BPF_JSET => value & k != 0,
                _ => panic!("no instruction: {code}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    #[test]
    fn calls_are_answered_as_they_should_be() {
        let here = |call, argument| answer(ARCHITECTURE, call, argument);
        for call in
            [libc::SYS_read, libc::SYS_execve, libc::SYS_chroot, libc::SYS_ptrace, libc::SYS_openat2, 469]
        {
            assert_eq!(here(call, 1), ALLOW, "{call}");
        }
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(here(*call, 0), PERMISSION_DENIED, "{call}");
        }
        for call in [libc::SYS_clone3, 470, 0x4000_0000] {
            assert_eq!(here(call, 0), NO_SUCH_CALL, "{call}");
        }
        let thread = number(libc::c_long::from(libc::CLONE_VM | libc::CLONE_THREAD));
        assert_eq!(here(libc::SYS_clone, thread), ALLOW);
        for kind in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWCGROUP] {
            let flags = number(libc::c_long::from(kind)) | 0x11;
            assert_eq!(here(libc::SYS_clone, flags), PERMISSION_DENIED);
        }
        assert_eq!(here(libc::SYS_socket, 2), ALLOW);
        assert_eq!(here(libc::SYS_socket, 40), PERMISSION_DENIED);
        assert_eq!([0, 8, u32::MAX].map(|value| here(libc::SYS_personality, value)), [ALLOW; 3]);
        assert_eq!(here(libc::SYS_personality, 0x40_0000), PERMISSION_DENIED);
        assert_eq!(answer(0x4000_0003, libc::SYS_read, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }
}
