//! Which system calls a container may make: a seccomp(2) filter.
//!
//! As Docker's default, it refuses what reaches past a container's namespaces or into rarely used parts of the kernel,
//! whoever asks. It is written the other way round, as what is refused, and ends at the last call that was known when it
//! was written: later ones are answered as an older kernel answers, so that a program does without them. A capability that a
//! pipeline adds allows the calls that are there for it, and no others.

mod calls;
#[cfg(all(test, target_arch = "x86_64"))]
mod docker;
mod granted;

use libc::{
    BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};

use rustix::thread::CapabilitySet;

use self::calls::{Abi, CLONE3, Call, HERE};

/// `removexattrat`, of Linux 6.13: Docker's default knows none after it.
const LAST_KNOWN: u32 = 466;

/// Families of sockets that are refused, as Docker does: those that nobody uses any more (`DECnet`, Econet, ATM, `IrDA`, WAN
/// devices, z/VM, CAIF), whose modules the kernel would load for it; its cryptography, which had more holes than users;
/// and those to the machine that this one is a guest of.
const REFUSED_FAMILIES: [libc::c_int; 9] = [12, 19, 20, 23, 25, 34, 37, libc::AF_ALG, libc::AF_VSOCK];
/// `AF_MCTP`.
const LAST_FAMILY: u32 = 45;

/// Those of clone(2) that make namespaces. The one for time shares its bit with an exit signal, and needs `SYS_ADMIN`,
/// who has which may make it.
const NAMESPACES: u32 = 0x7E02_0000;

/// `CLONE_NEWCGROUP`: who has it could mount the control groups of the machine, which belong to the root that a container's
/// root is, and so stop or limit what is none of the container's.
const NEW_CONTROL_GROUPS: u32 = 0x0200_0000;

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
pub(super) fn install(rights: CapabilitySet) -> std::io::Result<()> {
    let mut program = program(&HERE, rights);
    let length = u16::try_from(program.len()).map_err(std::io::Error::other)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which outlives the call.
    let failed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn program(abis: &[&Abi], rights: CapabilitySet) -> Vec<sock_filter> {
    let mut program = vec![load(ARCHITECTURE_AT)];
    for abi in abis {
        let part = part(abi, rights);
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, abi.architecture, 1, 0));
        // Farther than comparisons reach.
        program.push(instruction(BPF_JMP | BPF_JA, u32::try_from(part.len()).unwrap_or(u32::MAX), 0, 0));
        program.extend(part);
    }
    program.push(end(libc::SECCOMP_RET_KILL_PROCESS));
    program
}

/// Decides every call of one kind of program.
fn part(abi: &Abi, rights: CapabilitySet) -> Vec<sock_filter> {
    let mut part = vec![load(NUMBER)];
    for call in abi.allowed {
        part.extend(when(BPF_JEQ, number(*call), ALLOW));
    }
    // Those of x32, which have bit 30 set, are past it, too.
    part.extend(when(BPF_JGT, LAST_KNOWN, NO_SUCH_CALL));
    part.extend(refusals(abi, rights));
    // Its flags are in memory, where no filter sees them: programs use clone then.
    part.extend(when(BPF_JEQ, number(CLONE3), NO_SUCH_CALL));
    if rights.contains(CapabilitySet::SYS_ADMIN) {
        let groups = when(BPF_JSET, NEW_CONTROL_GROUPS, PERMISSION_DENIED);
        part.extend(of_first_argument(abi.clone, &groups));
        part.extend(of_first_argument(abi.unshare, &groups));
    } else {
        let clone = when(BPF_JSET, NAMESPACES, PERMISSION_DENIED);
        part.extend(of_first_argument(abi.clone, &clone));
    }
    let mut families: Vec<_> = REFUSED_FAMILIES
        .into_iter()
        .flat_map(|family| when(BPF_JEQ, number(Call::from(family)), PERMISSION_DENIED))
        .collect();
    families.extend(when(BPF_JGT, LAST_FAMILY, PERMISSION_DENIED));
    part.extend(of_first_argument(abi.socket, &families));
    let mut personalities: Vec<_> =
        PERSONALITIES.into_iter().flat_map(|known| when(BPF_JEQ, known, ALLOW)).collect();
    personalities.push(end(PERMISSION_DENIED));
    part.extend(of_first_argument(abi.personality, &personalities));
    part.push(end(ALLOW));
    part
}

/// In the order of the numbers, some at a time, and none looked at in vain: the kernel runs the program for every number
/// there is before it is installed, for every container.
fn refusals(abi: &Abi, rights: CapabilitySet) -> Vec<sock_filter> {
    const AT_ONCE: usize = 8;
    let granted = abi.granted.iter().filter(|(right, _)| rights.contains(*right));
    let granted: Vec<Call> = granted.flat_map(|(_, calls)| calls.iter().copied()).collect();
    let refused = abi.refused.into_iter().flatten().filter(|call| !granted.contains(call));
    let mut calls: Vec<u32> = refused.map(|call| number(*call)).collect();
    calls.sort_unstable();
    let mut all: Vec<sock_filter> = Vec::new();
    for some in calls.chunks(AT_ONCE).rev() {
        let last = some.last().copied().unwrap_or_default();
        // The comparisons, the way past all others, and the answer.
        let length = some.len() + 2;
        let mut part = vec![instruction(BPF_JMP | BPF_JGT | BPF_K, last, short(length), 0)];
        let to_answer = |at: usize| short(length - 2 - at);
        part.extend(
            some.iter()
                .enumerate()
                .map(|(at, call)| instruction(BPF_JMP | BPF_JEQ | BPF_K, *call, to_answer(at), 0)),
        );
        let others = u32::try_from(all.len() + 1).unwrap_or(u32::MAX);
        part.extend([instruction(BPF_JMP | BPF_JA, others, 0, 0), end(PERMISSION_DENIED)]);
        part.append(&mut all);
        all = part;
    }
    all
}

/// How far a comparison leads.
fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Numbers of calls are small.
fn number(call: Call) -> u32 {
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

/// Looks at the first argument of one call; goes on with the number where nothing of it decided.
fn of_first_argument(call: Call, checks: &[sock_filter]) -> Vec<sock_filter> {
    let length = u8::try_from(checks.len() + 2).unwrap_or(u8::MAX);
    let mut all = vec![instruction(BPF_JMP | BPF_JEQ | BPF_K, number(call), 0, length), load(FIRST_ARGUMENT)];
    all.extend_from_slice(checks);
    all.push(load(NUMBER));
    all
}

#[cfg(test)]
mod tests {
    use super::calls::{ARM, I386, NATIVE};
    use super::*;

    pub(super) const NONE: CapabilitySet = CapabilitySet::empty();

    /// What the kernel would answer.
    pub(super) fn answer(program: &[sock_filter], architecture: u32, call: Call, argument: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let holds = match code & 0xF0 {
                _ if code == BPF_RET | BPF_K => return k,
                _ if code == BPF_JMP | BPF_JA => {
                    at += usize::try_from(k).unwrap();
                    continue;
                }
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

    /// Every number that there is, and those around them.
    fn decides_as_it_should(program: &[sock_filter], abi: &Abi) {
        let here = |call, argument| answer(program, abi.architecture, call, argument);
        let refused: Vec<Call> = abi.refused.into_iter().flatten().copied().collect();
        for call in (0..=Call::from(LAST_KNOWN)).filter(|call| *call != abi.personality) {
            let wanted = match call {
                CLONE3 => NO_SUCH_CALL,
                _ if refused.contains(&call) => PERMISSION_DENIED,
                _ => ALLOW,
            };
            assert_eq!(here(call, 1), wanted, "{call} of {:x}", abi.architecture);
        }
        for call in [467, 468, 1000, 0x4000_0000, 0x4000_0001, 0xF_0000, 0xF_0003] {
            assert_eq!(here(call, 0), NO_SUCH_CALL, "{call} of {:x}", abi.architecture);
        }
        for call in abi.allowed {
            assert_eq!(here(*call, 0), ALLOW, "{call} of {:x}", abi.architecture);
        }
        let thread = number(Call::from(libc::CLONE_VM | libc::CLONE_THREAD));
        assert_eq!(here(abi.clone, thread), ALLOW);
        for kind in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWCGROUP] {
            let flags = number(Call::from(kind)) | 0x11;
            assert_eq!(here(abi.clone, flags), PERMISSION_DENIED);
        }
        assert_eq!([1, 2, 10, 16, 41].map(|family| here(abi.socket, family)), [ALLOW; 5]);
        assert_eq!(here(abi.socket, 40), PERMISSION_DENIED);
        assert_eq!(PERSONALITIES.map(|value| here(abi.personality, value)), [ALLOW; 5]);
        for other in [1, 0x40_0000, 0x4_0000, 0x2_0001] {
            assert_eq!(here(abi.personality, other), PERMISSION_DENIED, "{other:x}");
        }
    }

    #[test]
    fn calls_are_answered_as_they_should_be() {
        for other in [I386, ARM] {
            let program = program(&[&NATIVE, &other], NONE);
            decides_as_it_should(&program, &NATIVE);
            decides_as_it_should(&program, &other);
            for unknown in [0x4000_0002, 0x8000_0015, 0] {
                assert_eq!(answer(&program, unknown, 3, 0), libc::SECCOMP_RET_KILL_PROCESS);
            }
        }
        let kinds = HERE.map(|abi| abi.architecture);
        let foreign = if kinds.contains(&I386.architecture) { ARM } else { I386 };
        assert_eq!(answer(&program(&HERE, NONE), foreign.architecture, 3, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }

    /// From what is known of a few, not from the lists.
    #[test]
    fn each_kind_has_its_own_numbers() {
        let native = |call| (&NATIVE, call);
        let refused = [
            native(libc::SYS_mount),
            native(libc::SYS_setns),
            native(libc::SYS_bpf),
            // mount, umount, stime, umount2, sethostname, iopl, vm86old, init_module, vm86, pivot_root, unshare, setns,
            // finit_module, bpf, clock_settime64, open_tree.
            (&I386, 21),
            (&I386, 22),
            (&I386, 25),
            (&I386, 52),
            (&I386, 74),
            (&I386, 110),
            (&I386, 113),
            (&I386, 128),
            (&I386, 166),
            (&I386, 217),
            (&I386, 310),
            (&I386, 346),
            (&I386, 350),
            (&I386, 357),
            (&I386, 404),
            (&I386, 428),
            // mount, umount2, pivot_root, unshare, setns, bpf, kexec_file_load.
            (&ARM, 21),
            (&ARM, 52),
            (&ARM, 218),
            (&ARM, 337),
            (&ARM, 375),
            (&ARM, 386),
            (&ARM, 401),
        ];
        let allowed = [
            native(libc::SYS_execve),
            native(libc::SYS_chroot),
            native(libc::SYS_ptrace),
            native(libc::SYS_openat2),
            // execve, ptrace, chroot, mmap, socketcall, ipc, modify_ldt, set_thread_area, set_tid_address, statx,
            // clock_gettime64, removexattrat.
            (&I386, 11),
            (&I386, 26),
            (&I386, 61),
            (&I386, 90),
            (&I386, 102),
            (&I386, 117),
            (&I386, 123),
            (&I386, 243),
            (&I386, 258),
            (&I386, 383),
            (&I386, 403),
            (&I386, 466),
            // execve, ptrace, mmap2, socket, statx, set_tls.
            (&ARM, 11),
            (&ARM, 26),
            (&ARM, 192),
            (&ARM, 281),
            (&ARM, 397),
            (&ARM, 0xF_0005),
        ];
        let of = |(abi, call): (&Abi, Call)| answer(&program(&[abi], NONE), abi.architecture, call, 0);
        assert_eq!(refused.map(of), [PERMISSION_DENIED; 26]);
        assert_eq!(allowed.map(of), [ALLOW; 22]);
    }

    /// What a capability allows was refused before, and nothing else is allowed with it.
    #[test]
    fn a_capability_allows_its_own_calls_and_no_others() {
        for abi in [&NATIVE, &I386, &ARM] {
            let plain = program(&[abi], NONE);
            let answers = |program: &[sock_filter], call| answer(program, abi.architecture, call, 0);
            for (right, _) in abi.granted {
                let loosened = program(&[abi], *right);
                let mut allowed: Vec<Call> = (0..=Call::from(LAST_KNOWN))
                    .filter(|call| answers(&plain, *call) != answers(&loosened, *call))
                    .collect();
                let mut wanted: Vec<Call> = { abi.granted.iter() }
                    .filter(|(other, _)| other == right)
                    .flat_map(|(_, calls)| calls.iter().copied())
                    .collect();
                assert!(allowed.iter().all(|call| answers(&loosened, *call) == ALLOW));
                allowed.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(allowed, wanted, "{right:?} of {:x}", abi.architecture);
            }
            let namespaces = number(Call::from(libc::CLONE_NEWNS));
            let clone = |rights| answer(&program(&[abi], rights), abi.architecture, abi.clone, namespaces);
            assert_eq!(clone(CapabilitySet::all().difference(CapabilitySet::SYS_ADMIN)), PERMISSION_DENIED);
            assert_eq!(clone(CapabilitySet::SYS_ADMIN), ALLOW);
            let admin = program(&[abi], CapabilitySet::SYS_ADMIN);
            for call in [abi.clone, abi.unshare] {
                let asked = |flags| answer(&admin, abi.architecture, call, flags);
                assert_eq!(
                    [asked(namespaces), asked(NEW_CONTROL_GROUPS | namespaces)],
                    [ALLOW, PERMISSION_DENIED]
                );
            }
        }
        let all = program(&[&NATIVE], CapabilitySet::all());
        for call in [libc::SYS_keyctl, libc::SYS_userfaultfd, libc::SYS_io_uring_setup, libc::SYS_pivot_root]
        {
            assert_eq!(answer(&all, NATIVE.architecture, call, 0), PERMISSION_DENIED, "{call}");
        }
    }
}
