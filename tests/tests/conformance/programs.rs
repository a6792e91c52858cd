//! Programs of other kinds than the machine's own: 32-bit ones, on x86-64.
#![cfg(target_arch = "x86_64")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use bowline::Container;
use bowline_tests::nonce;

/// Where a program is in memory; its code follows the headers.
const AT: u32 = 0x0804_8000;
const HEADERS: u32 = 84;

/// A static executable of these instructions, which may end in data.
fn executable(code: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable, for i386, version 1.
    bytes.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    // Its entry point; where its segments are listed, and its sections, of which there are none.
    bytes.extend([AT + HEADERS, 52, 0, 0].map(u32::to_le_bytes).concat());
    // The sizes of this header and of a segment's, and how many; the same of sections.
    bytes.extend([52_u16, 32, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // The file as it is, to be read and executed.
    let size = HEADERS + u32::try_from(code.len()).unwrap();
    bytes.extend([1, 0, AT, AT, size, size, 5, 0x1000].map(u32::to_le_bytes).concat());
    assert_eq!(bytes.len(), 84);
    bytes.extend(code);
    bytes
}

/// `int 0x80` with this number and up to three arguments.
fn call(number: u32, arguments: [u32; 3]) -> Vec<u8> {
    let mut code = vec![0x31, 0xF6, 0x31, 0xFF]; // xor esi, esi; xor edi, edi
    for (mov, value) in [(0xB8, number), (0xBB, arguments[0]), (0xB9, arguments[1]), (0xBA, arguments[2])] {
        code.push(mov); // mov eax, …; ebx; ecx; edx
        code.extend(value.to_le_bytes());
    }
    code.extend([0xCD, 0x80]);
    code
}

const EXIT: u32 = 1;
const WRITE: u32 = 4;

/// Prints a text and ends well.
fn prints(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    let code = |text_at| [call(WRITE, [1, text_at, length]), call(EXIT, [0; 3])].concat();
    let text_at = AT + HEADERS + u32::try_from(code(0).len()).unwrap();
    executable(&[&code(text_at), text.as_bytes()].concat())
}

/// Makes a call, and ends with the number of its error.
fn tries(number: u32, argument: u32) -> Vec<u8> {
    // neg eax; mov ebx, eax; mov eax, 1; int 0x80
    let end = [0xF7, 0xD8, 0x89, 0xC3, 0xB8, 1, 0, 0, 0, 0xCD, 0x80];
    executable(&[call(number, [argument, 0, 0]).as_slice(), &end].concat())
}

/// Whether this machine's kernel runs such programs at all; says so where it does not.
fn are_run_here() -> bool {
    const EXEC_FORMAT_ERROR: i32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    std::fs::write(&path, prints("")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tried = std::process::Command::new(&path).status();
    let is_no_program = tried.is_err_and(|error| error.raw_os_error() == Some(EXEC_FORMAT_ERROR));
    if is_no_program {
        let _ = writeln!(std::io::stderr().lock(), "skipped: this kernel runs no 32-bit programs");
    }
    !is_no_program
}

fn with(program: &[u8]) -> Container {
    Container::from_image("busybox:1.35").env("NONCE", nonce()).with_file("/program", program)
}

#[bowline::test]
async fn a_32_bit_program_runs() {
    if are_run_here() {
        let step = with(&prints("32 bits\n")).shell("chmod +x /program; /program && echo well");
        assert_eq!(step.stdout().await.unwrap(), "32 bits\nwell\n");
    }
}

/// What is told apart by its error: the kernel itself would find other faults with these arguments, or none.
#[bowline::test]
async fn a_32_bit_program_is_refused_what_others_are() {
    const NOT_PERMITTED: i32 = 1;
    const NO_SUCH_CALL: i32 = 38;
    if !are_run_here() {
        return;
    }
    for (what, number, argument, error) in [
        ("mount", 21, 0, NOT_PERMITTED),
        ("umount", 22, 0, NOT_PERMITTED),
        ("unshare", 310, 0, NOT_PERMITTED),
        ("personality", 136, 0x0040_0000, NOT_PERMITTED),
        ("clone3", 435, 0, NO_SUCH_CALL),
    ] {
        let step = with(&tries(number, argument)).shell("chmod +x /program; /program; echo $?");
        assert_eq!(step.stdout().await.unwrap(), format!("{error}\n"), "{what}");
    }
}
