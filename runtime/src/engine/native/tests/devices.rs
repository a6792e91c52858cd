//! What a container may do to devices, and whose they are.

use super::*;

async fn script_as(engine: &Native, base: &Snapshot, user: &str, text_of: &str) -> String {
    let mut step = script(base, text_of);
    user.clone_into(&mut step.process.as_mut().unwrap().user);
    let (_, output) = run(engine, step).await;
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_of_the_machine_stay_as_they_are() {
    use std::os::unix::fs::MetadataExt as _;
    let engine = engine!();
    let base = busybox(&engine).await;
    let devices = ["full", "null", "random", "tty", "urandom", "zero"].map(|name| format!("/dev/{name}"));
    let known = || {
        devices.each_ref().map(|path| {
            let found = std::fs::metadata(path).unwrap();
            (found.mode(), found.uid(), found.gid())
        })
    };
    let before = known();
    // The new values are the old ones, so that nothing breaks if a change is not refused.
    let script = "for path in /dev/full /dev/null /dev/random /dev/tty /dev/urandom /dev/zero /proc/keys /proc/interrupts
        do chmod 666 $path 2>/dev/null && echo $path; chown 0:0 $path 2>/dev/null && echo $path; done
        chmod 666 /proc/self/fd/0 2>/dev/null && echo input; chown 0:0 /proc/self/fd/0 2>/dev/null && echo input
        echo x > /dev/null && head -c 3 /dev/zero | wc -c; echo x > /dev/full || echo full";
    let seen = script_as(&engine, &base, "", script).await;
    assert!(seen.starts_with("3\n") && seen.ends_with("full\n") || seen.contains("No space left"), "{seen}");
    assert!(!seen.contains("input") && !seen.contains("/proc") && !seen.contains("/dev/null\n"), "{seen}");
    assert_eq!(known(), before);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_input_reads_the_containers_own_null() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let look = "stat -L -c '%t %T' /proc/self/fd/0; stat -L -c %d /proc/self/fd/0 /dev/null | uniq | wc -l; cat | wc -c";
    let service = service(&base, HOST, &["sleep", "60"]);
    assert_eq!(script_as(&engine, &base, "65534", look).await, "1 3\n1\n0\n");
    let service = engine.start(service, nothing()).await.unwrap();
    let args = ["sh", "-c", "test $(stat -L -c %d /proc/self/fd/0) = $(stat -c %d /dev/null)"];
    assert_eq!(service.exec(&args.map(str::to_owned)).await.unwrap().exit_code, 0);
    service.remove().await.unwrap();
    engine.close().await.unwrap();
}

/// Not even devices that a privileged container made.
#[tokio::test(flavor = "multi_thread")]
async fn no_device_of_a_cache_can_be_opened() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let cache = Mount {
        path: "/cache".to_owned(),
        source: MountSource::Cache(key().to_string().into()),
        access: Access::ReadWrite,
    };
    let mut makes = script(&base, "mknod -m 666 /cache/zero c 1 5 && echo made");
    makes.process.as_mut().unwrap().security.privileged = true;
    let mut opens = script(&base, "test -c /cache/zero && echo there; head -c 1 /cache/zero | wc -c");
    for (step, wanted) in [(&mut makes, "made\n"), (&mut opens, "there\n0\n")] {
        step.filesystem.mounts.push(cache.clone());
        let (_, output) = run(&*engine, step.clone()).await;
        assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_tells_of_others_is_masked() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let look = "cat /proc/interrupts /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l
        ls /sys/devices/virtual/powercap /sys/devices/system/cpu/cpu*/thermal_throttle 2>/dev/null | grep -v : | grep -c .
        echo 1 > /proc/sys/net/ipv4/ip_forward && echo written";
    assert!(std::fs::read_to_string("/proc/interrupts").unwrap().len() > 10);
    assert!(script_as(&engine, &base, "", look).await.starts_with("0\n0\n0\n"));
    engine.close().await.unwrap();
}
