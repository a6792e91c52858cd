//! What a container can do with capabilities that it was given, and what it cannot.

use super::*;
use crate::lock::lock;
use crate::model::Grant;

const OTHER: &str = "other-service";

fn with(mut step: crate::engine::StepSpec, added: &[&str]) -> crate::engine::StepSpec {
    let capabilities = &mut step.process.as_mut().unwrap().security.capabilities;
    capabilities.single.extend(added.iter().map(|name| ((*name).to_owned(), Grant::Added)));
    step
}

/// As whatever it speaks, what it says comes from its own address or does not arrive.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_another_address_is_not_heard() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let page = "echo page > /index.html; exec httpd -f -p 80 -h /";
    let mut running = Vec::new();
    for name in [HOST, OTHER] {
        let started = engine.start(service(&base, name, &["sh", "-c", page]), nothing()).await.unwrap();
        started.wait_ports(&[Port::tcp(80)], &ProbeProgress::default()).await.unwrap();
        running.push(started);
    }
    let takes = "
        address() { awk -v name=$1 '$2 == name { print $1 }' /etc/hosts; }
        web=$(address web) other=$(address other)
        own=$(ip -4 addr show eth0 | awk '/inet /{print $2}') mac=$(cat /sys/class/net/eth0/address)
        fetch() { nc -w 2 $web 80 </dev/null 2>/dev/null && echo reached || echo none; }
        mac() { ip link set eth0 down && ip link set eth0 address $1 && ip link set eth0 up; }
        fetch
        ip addr flush dev eth0 && ip addr add $other/${own#*/} dev eth0; fetch
        mac $(printf '02:42:%02x:%02x:%02x:%02x' $(echo $other | tr . ' ')); fetch
        ip addr flush dev eth0 && mac $mac && ip addr add $own dev eth0; fetch";
    let mut step = with(script(&base, takes), &["NET_ADMIN"]);
    step.links = vec![link(HOST, "web"), link(OTHER, "other")];
    let (_, output) = run(&*engine, step).await;
    assert_eq!(text(&output.stdout), "reached\nnone\nnone\nreached\n", "{}", text(&output.stderr));
    // Nobody gets its network after it.
    assert_eq!(lock(&engine.shared.idle).len(), 0);
    for service in running {
        service.remove().await.unwrap();
    }
    engine.close().await.unwrap();
}

/// The kernel tells a container which namespace is at the other end of its link, and lets who may change that.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_the_bridges_through_their_own_link() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    // RTM_GETLINK: of its own links, which gives the other namespace a number; and of those there (IFLA_TARGET_NETNSID).
    let look = "import socket, struct
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
def dump(attribute):
  question = struct.pack('=BxHiII', 0, 0, 0, 0, 0) + attribute
  netlink.send(struct.pack('=IHHII', 16 + len(question), 18, 0x301, 1, 0) + question)
  said = b''
  while True:
    piece = netlink.recv(1 << 16)
    said += piece
    kind, = struct.unpack_from('=H', piece, 4)
    # What went wrong comes with the end (NLMSG_ERROR, NLMSG_DONE).
    if kind in (2, 3): return -struct.unpack_from('=i', piece, 16)[0] or said
dump(b'')
there = dump(struct.pack('=HHi', 8, 46, 0))
print(there if isinstance(there, int) else b'services' in there)";
    let look = || step(&base, &["python3", "-c", look]);
    let said = async |step| text(&run(&*engine, step).await.1.stdout);
    for added in [&["NET_ADMIN"][..], &["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]] {
        assert_eq!(said(with(look(), added)).await, format!("{}\n", libc::EACCES), "{added:?}");
    }
    // Who has all rights may, so this is how it would be done.
    let mut privileged = look();
    privileged.process.as_mut().unwrap().security.privileged = true;
    assert_eq!(said(privileged).await, "True\n");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_mount_reaches_nothing_of_the_machine() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let tries = "mkdir -p /m /d; mount -t tmpfs none /m && echo mounted
        mount -t devtmpfs none /d 2>/dev/null && echo devices || echo refused
        for covered in /proc/sys /proc/kcore /dev/null; do umount $covered 2>/dev/null && echo uncovered || echo kept; done
        mount -o remount,bind,rw /proc/sys 2>/dev/null && echo writable || echo kept
        mknod /m/disk b 8 0 2>/dev/null && echo made || echo refused
        echo 1 2>/dev/null > /proc/sysrq-trigger && echo written || echo refused
        hostname other && hostname
        for file in mem environ maps fd/3; do cat /proc/1/$file >/dev/null 2>&1 && echo read || echo refused; done
        ls /proc/1/fd /proc/1/root >/dev/null 2>&1 && echo seen || echo refused
        cat /proc/self/environ >/dev/null && echo own";
    let (_, output) = run(&*engine, with(script(&base, tries), &["SYS_ADMIN", "SYS_PTRACE"])).await;
    let wanted = "mounted\nrefused\nkept\nkept\nkept\nkept\nrefused\nrefused\nother\n\
        refused\nrefused\nrefused\nrefused\nrefused\nown\n";
    assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
    let (_, plain) = run(&*engine, script(&base, "mkdir /m; mount -t tmpfs none /m 2>&1")).await;
    assert_eq!(text(&plain.stdout), "mount: permission denied (are you root?)\n");
    engine.close().await.unwrap();
}

/// Nor by file systems of the kernel, in namespaces that it makes itself.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_mount_sees_no_more_of_the_kernel() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    let tries = "import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir('/m')
NEWPID, NEWUSER, NEWNS, NEWNET, NEWIPC, NEWCGROUP = 0x20000000, 0x10000000, 0x20000, 0x40000000, 0x8000000, 0x2000000
print(libc.unshare(NEWCGROUP), libc.unshare(NEWUSER | NEWCGROUP), libc.syscall(435, 0, 0), flush=True)
for flags in [0, NEWPID | NEWNET | NEWIPC, NEWPID | NEWNET | NEWIPC | NEWUSER | NEWNS]:
  if os.fork() == 0:
    assert libc.unshare(flags) == 0, os.strerror(ctypes.get_errno())
    if os.fork() == 0:
      for kind in ['proc', 'sysfs', 'devtmpfs', 'debugfs', 'tracefs', 'securityfs', 'cgroup2', 'cgroup', 'tmpfs']:
        options = b'memory' if kind == 'cgroup' else None
        if libc.mount(b'none', b'/m', kind.encode(), 0, options) == 0: print(kind, flush=True)
      os._exit(0)
    os.wait()
    os._exit(0)
  os.wait()";
    let (_, output) = run(&*engine, with(step(&base, &["python3", "-c", tries]), &["SYS_ADMIN"])).await;
    assert_eq!(text(&output.stdout), "-1 -1 -1\ntmpfs\ntmpfs\ntmpfs\n", "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// Of the machine: as root, as far as the pipeline has it, and usable.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_power_over_the_machine_is_the_pipelines_own() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let nicer = "renice -n -5 $$ 2>/dev/null && echo nicer || echo refused";
    let (_, plain) = run(&*engine, script(&base, nicer)).await;
    assert_eq!(text(&plain.stdout), "refused\n");
    let prepared = engine.prepare(with(script(&base, nicer), &["SYS_NICE"])).await.unwrap();
    match prepared.run(nothing()).await {
        Ok(_) => {
            let (_, given) = run(&*engine, with(script(&base, nicer), &["SYS_NICE"])).await;
            assert_eq!(text(&given.stdout), "nicer\n");
        }
        Err(error) => assert!(error.to_string().contains("cap add SYS_NICE: "), "{error}"),
    }
    let both = engine.prepare(with(script(&base, "true"), &["SYS_NICE", "NET_ADMIN"])).await.unwrap();
    let error = both.run(nothing()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("cap add SYS_NICE: ") && error.contains("help: "), "{error}");
    engine.close().await.unwrap();
}
