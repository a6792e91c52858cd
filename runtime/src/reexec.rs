//! Re-executes the program for work that must outlive it.
//!
//! However a pipeline ends (`SIGKILL`, `panic = "abort"`, `exit` in the middle), something has to remove what it had
//! started. No thread of its own can, so the program is started a second time, in another role. Users see none of it: a
//! constructor runs before `main`, finds the order in the environment, plays the role and ends the process. It works
//! under every kind of `main` and in test binaries, and requires nothing of the user's code.
//!
//! A process in a role is detached from its maker: it has a session, a process group and a working directory of its own,
//! no terminal, and no descriptor but a socket to its maker; and it is not the maker's child, so nobody has to reap it.
//! The socket closes when the maker dies, however it dies: that is how a role learns of it.

use std::io;
use std::time::Duration;

#[cfg(unix)]
pub(crate) use unix::{Channel, spawn, take};

/// A role that a re-executed program can play. Each is made by [`role!`] in the module that starts it.
#[derive(Debug)]
pub(crate) struct Role {
    /// The order in the environment variable. It includes a version, which separates two versions of this crate in one
    /// program.
    pub(crate) order: &'static str,
    pub(crate) start: Start,
    /// The function that plays the role.
    pub(crate) main: fn(Channel),
    /// The constructor that looks for the order before `main`. A role refers to it, so that it is linked into every
    /// program that can start one: linkers drop unreferenced items.
    #[cfg(unix)]
    pub(crate) constructor: &'static extern "C" fn(),
}

/// How a process enters a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The process has to detach first, and to report that to its maker.
    Anew,
    /// The process had another role before, and is already detached.
    #[cfg(native_engine)]
    Taken,
}

/// Defines a role: its name, its order, how a process enters it, and what it does. There is no list of roles: each
/// constructor looks for its own order.
macro_rules! role {
    ($(#[$attribute:meta])* $name:ident, $order:literal, $start:ident, $main:expr) => {
        $(#[$attribute])*
        pub(crate) static $name: $crate::reexec::Role = {
            /// Runs before `main` in every program that can re-execute itself. Without an order, as in every normal start
            /// of the program, it takes no time.
            #[cfg(unix)]
            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
            #[allow(unsafe_code)] // SAFETY: the section holds pointers to C functions, and this is one
            static CONSTRUCTOR: extern "C" fn() = constructor;
            #[cfg(unix)]
            extern "C" fn constructor() {
                $crate::reexec::take(&$name);
            }
            $crate::reexec::Role {
                order: concat!($order, "-", env!("CARGO_PKG_VERSION")),
                start: $crate::reexec::Start::$start,
                main: $main,
                #[cfg(unix)]
                constructor: &CONSTRUCTOR,
            }
        };
    };
}
pub(crate) use role;

/// The variable that holds the order. It alone does not start a role: the constructor checks the channel too.
const VARIABLE: &str = "__BOWLINE_REEXEC";

/// The variable for a process that is already in a role and executes the program in another one; the channel is its
/// standard input.
#[cfg(native_engine)]
pub(crate) fn order(role: &Role) -> std::ffi::OsString {
    format!("{VARIABLE}={}", role.order).into()
}

/// The process name of roles.
#[cfg(unix)]
pub(crate) const NAME: &std::ffi::CStr = c"bowline";

/// How long a new process may take to enter its role. Loading a large program from a cold disk takes a second or two.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// The first byte that a role sends.
const HELLO: u8 = b'+';

/// The error for a program that was re-executed and reached its own `main` all the same.
fn lost() -> io::Error {
    io::Error::other("the re-executed program did not take its role; no process is started a second time")
}

#[cfg(unix)]
mod unix {
    use std::io::{self, Read as _, Write as _};
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::{HELLO, HELLO_WITHIN, NAME, Role, Start, VARIABLE, lost};

    /// Connects a role with its maker; closed by the death of either.
    pub(crate) type Channel = std::os::unix::net::UnixStream;

    /// Starts the program again in this role and returns once it has entered it: 3 to 10 ms, so never on a hot path.
    pub(crate) fn spawn(role: &'static Role) -> io::Result<Channel> {
        std::hint::black_box(role.constructor);
        if std::env::var_os(VARIABLE).is_some() {
            return Err(lost());
        }
        let (mut ours, theirs) = Channel::pair()?;
        let mut child = Command::new(program()?)
            .arg0("bowline")
            .env(VARIABLE, role.order)
            .process_group(0) // before it has a session of its own, Ctrl-C must not reach it either
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let hello = expect_hello(&mut ours);
        if hello.is_err() {
            // Something ran that is not the role: it must not go on.
            let _ = child.kill();
        }
        reap(&mut child)?;
        hello.map(|()| ours)
    }

    fn expect_hello(channel: &mut Channel) -> io::Result<()> {
        channel.set_read_timeout(Some(HELLO_WITHIN))?;
        let mut hello = [0];
        channel.read_exact(&mut hello)?;
        channel.set_read_timeout(None)?;
        if hello[0] == HELLO { Ok(()) } else { Err(lost()) }
    }

    /// Reaps the direct child, which only forks the process that plays the role and then exits.
    fn reap(child: &mut Child) -> io::Result<()> {
        match child.wait() {
            // The user's program reaps all its children, whoever made them: then there is nothing left to do.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The file of the running program, even if it was replaced or deleted meanwhile.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    fn program() -> io::Result<std::path::PathBuf> {
        Ok("/proc/self/exe".into())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn program() -> io::Result<std::path::PathBuf> {
        std::env::current_exe()
    }

    /// Plays the role and ends the process, if [`spawn`] started it for that: the order is in the environment, and
    /// standard input is a socket whose other end was made by the same user.
    pub(crate) fn take(role: &'static Role) {
        let is_ordered = || {
            std::env::var_os(VARIABLE).is_some_and(|order| order == role.order)
                && made_by_us(libc::STDIN_FILENO)
        };
        if is_ordered() {
            let code = std::panic::catch_unwind(|| begin(role)).unwrap_or(70);
            leave(code);
        }
    }

    /// Detaches the process and plays the role in it.
    fn begin(role: &Role) -> i32 {
        forget_order();
        close_inherited();
        if role.start == Start::Anew {
            #[allow(unsafe_code)]
            // SAFETY: the process has one thread so far, so the copy can do whatever this one can.
            match unsafe { libc::fork() } {
                0 => {}
                child => return if child < 0 { 71 } else { 0 },
            }
        }
        detach();
        let Ok(mut channel) = take_stdin() else { return 71 };
        if role.start == Start::Anew && channel.write_all(&[HELLO]).is_err() {
            return 0; // the maker is dead already, and has made nothing yet
        }
        (role.main)(channel);
        0
    }

    #[allow(unsafe_code)]
    fn leave(code: i32) -> ! {
        // SAFETY: ends the process; handlers registered by the user's program must not run in a role.
        unsafe { libc::_exit(code) }
    }

    #[allow(unsafe_code)]
    fn forget_order() {
        // SAFETY: before `main`, in a process with one thread: nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(VARIABLE) };
    }

    /// Closes descriptors that the pipeline had inherited and passed on: pipes of a shell, of make, of cargo, whose other
    /// ends would wait for this process.
    #[allow(unsafe_code)]
    fn close_inherited() {
        #[cfg(target_os = "linux")]
        // SAFETY: nothing in this process owns a descriptor above standard error yet.
        if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) } == 0 {
            return;
        }
        // SAFETY: as above. Older kernels and other systems; few programs pass on descriptors at all, and low ones.
        (3..1024).for_each(|fd| unsafe {
            libc::close(fd);
        });
    }

    /// Leaves the pipeline's session and working directory.
    #[allow(unsafe_code)]
    fn detach() {
        // SAFETY: plain calls without memory of ours, except the constant name. Failures leave things as they were.
        unsafe {
            libc::setsid();
            libc::chdir(c"/".as_ptr());
            // The standard library's own start-up code has not run: writing to a closed socket must not kill this
            // process. The other signals are sent to whole process groups to end a pipeline: by a service manager, a CI
            // runner, a shell that hangs up. That is when a role's work begins.
            for signal in [libc::SIGPIPE, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_IGN);
            }
            #[cfg(target_os = "linux")]
            libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        }
        #[cfg(not(target_os = "linux"))]
        let _ = NAME;
    }

    /// The channel, moved away from standard input, which then becomes `/dev/null` like the other two streams.
    #[allow(unsafe_code)]
    fn take_stdin() -> io::Result<Channel> {
        let null = std::fs::File::open("/dev/null")?;
        // SAFETY: standard input is open, and the copy is owned by nobody else.
        let channel = unsafe {
            let copy = libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, 3);
            if copy < 0 || libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) < 0 {
                return Err(io::Error::last_os_error());
            }
            Channel::from_raw_fd(copy)
        };
        Ok(channel)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[allow(unsafe_code)]
    fn made_by_us(socket: i32) -> bool {
        let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut size = u32::try_from(size_of::<libc::ucred>()).unwrap_or(0);
        // SAFETY: `peer` is as large as `size` says, and both outlive the call; anything but a socket is refused.
        let failed = unsafe {
            let peer = (&raw mut peer).cast();
            libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, peer, &raw mut size)
        };
        failed == 0 && peer.uid == effective_user()
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(unsafe_code)]
    fn made_by_us(socket: i32) -> bool {
        let (mut user, mut group) = (0, 0);
        // SAFETY: both outlive the call; anything but a socket is refused.
        let failed = unsafe { libc::getpeereid(socket, &raw mut user, &raw mut group) };
        failed == 0 && user == effective_user()
    }

    #[allow(unsafe_code)]
    fn effective_user() -> libc::uid_t {
        // SAFETY: always succeeds.
        unsafe { libc::geteuid() }
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::{Channel, spawn};

/// Systems without the means: a pipeline runs there without a watchdog.
#[cfg(not(unix))]
mod elsewhere {
    use std::io;

    use super::{HELLO, HELLO_WITHIN, Role, VARIABLE, lost};

    /// Never constructed.
    pub(crate) type Channel = std::net::TcpStream;

    pub(crate) fn spawn(role: &'static Role) -> io::Result<Channel> {
        let _ = (HELLO, HELLO_WITHIN, VARIABLE, role.order, role.start, role.main, lost);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    role!(
        /// Does nothing.
        IDLE, "idle", Anew, drop
    );

    /// Runs this test program with an order of our own making, and returns what its `main` wrote.
    fn run_with(order: &str, stdin: Stdio) -> String {
        let listing = ["--list", "--exact", "reexec::tests::an_order_alone_is_not_obeyed"];
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args(listing).env(VARIABLE, order).stdin(stdin).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_order_alone_is_not_obeyed() {
        let order = IDLE.order;
        assert!(run_with(order, Stdio::null()).contains("an_order_alone_is_not_obeyed"));
        assert!(run_with(order, Stdio::piped()).contains("an_order_alone_is_not_obeyed"));
        assert!(run_with("idle-0.0.0", socket()).contains("an_order_alone_is_not_obeyed"));
        assert_eq!(run_with(order, socket()), "");
    }

    /// One end of a connection whose other end is closed.
    fn socket() -> Stdio {
        OwnedFd::from(Channel::pair().unwrap().0).into()
    }
}
