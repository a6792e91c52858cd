//! The pipeline's own program, environment and privileges, which no container gets.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

fn privileged(base: &Snapshot, args: &[&str]) -> crate::engine::StepSpec {
    let mut step = step(base, args);
    step.process.as_mut().unwrap().security.privileged = true;
    step
}

/// The first process of a container runs this program; and an image's own loader may be made to run it too.
#[tokio::test(flavor = "multi_thread")]
async fn no_container_changes_the_program_of_the_pipeline() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let program = std::env::current_exe().unwrap();
    let before = std::fs::metadata(&program).unwrap();
    let tries = "chmod 700 /proc/1/exe; chown 1:1 /proc/1/exe; echo >> /proc/1/exe; touch /proc/1/exe; true";
    let (_, output) = run(&*engine, privileged(&base, &["sh", "-c", tries])).await;
    let said = text(&output.stderr);
    assert_eq!(said.matches("Read-only file system").count(), 3, "{said}");
    assert!(said.contains("can't create /proc/1/exe"), "{said}");
    let after = std::fs::metadata(&program).unwrap();
    let known = |of: &std::fs::Metadata| (of.mode(), of.uid(), of.len(), of.mtime());
    assert_eq!(known(&after), known(&before));
    engine.close().await.unwrap();
}

/// As after an update of a running program: its path leads to another file.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_file_is_gone_hosts_containers_all_the_same() {
    const COPY: &str = "BOWLINE_TEST_COPY";
    if std::env::var_os("BOWLINE_SKIP_ENGINE_TESTS").is_some() {
        return;
    }
    if std::env::var_os(COPY).is_none() {
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("copy");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let name = "a_program_whose_file_is_gone_hosts_containers_all_the_same";
        let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
        let output = Command::new(&copy).args(["--exact", &name]).env(COPY, "1").output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{}", text(&output.stderr));
        return;
    }
    std::fs::remove_file(std::env::current_exe().unwrap()).unwrap();
    let engine = engine!();
    let base = busybox(&engine).await;
    let tries = "chmod 700 /proc/1/exe; echo >> /proc/1/exe; true";
    let (_, output) = run(&*engine, privileged(&base, &["sh", "-c", tries])).await;
    // It may change the mode of a copy only.
    assert!(text(&output.stderr).contains("can't create /proc/1/exe"), "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// Neither the pipeline's environment nor what another container was given.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_of_a_container_knows_nothing_of_others() {
    let engine = engine!();
    let base = image(&*engine, "python:3.11").await.snapshot;
    let (one, other) = (key().to_string(), key().to_string());
    let mut first = step(&base, &["true"]);
    let process = first.process.as_mut().unwrap();
    process.secret_env = vec![("TOKEN".to_owned(), format!("{one}-{other}"))];
    first.filesystem.mounts = vec![Mount {
        path: "/key".to_owned(),
        source: MountSource::Secret(Arc::from(format!("{other}-{one}").as_bytes())),
        access: Access::ReadOnly,
    }];
    for _ in 0..3 {
        run(&*engine, first.clone()).await;
    }
    // The halves are in its own arguments, but nowhere joined.
    let look = "import sys
one, other = (text.encode() for text in sys.argv[1:])
names = [variable.split(b'=')[0] for variable in open('/proc/1/environ', 'rb').read().split(b'\\0') if variable]
print([name for name in names if not name.startswith((b'LD_', b'__BOWLINE_'))])
found, read = 0, 0
memory = open('/proc/1/mem', 'rb', 0)
for line in open('/proc/1/maps'):
    start, end = (int(part, 16) for part in line.split()[0].split('-'))
    if not line.split()[1].startswith('r') or '[v' in line: continue
    memory.seek(start)
    try: piece = memory.read(end - start)
    except OSError: continue
    read += len(piece)
    found += (one + b'-' + other in piece) + (other + b'-' + one in piece)
print(found, read > 1000000)";
    let (_, output) = run(&*engine, privileged(&base, &["python3", "-c", look, &one, &other])).await;
    assert_eq!(text(&output.stdout), "[]\n0 True\n", "{}", text(&output.stderr));
    engine.close().await.unwrap();
}

/// A pipeline may be started from a shell with ambient or inheritable capabilities: programs with file capabilities would
/// get them, beyond what a container may have.
#[test]
fn a_container_has_no_capabilities_but_its_own_whatever_the_pipeline_hands_on() {
    let mut sets = capabilities(None).unwrap();
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets).unwrap();
    rustix::thread::configure_capability_in_ambient_set(CapabilitySet::SYS_PTRACE, true).unwrap();
    // Its threads have the same capabilities as this one.
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let engine = engine!();
        let base = busybox(&engine).await;
        let bound = format!("{:016x}", 0xa004_25fb_u64 & !(1 << 27) & !(1 << 29));
        let all = format!("{:016x}", sets.permitted.bits());
        let (none, full) = ("0".repeat(16), bound.clone());
        for (user, is_privileged, own) in
            [("", false, &full), ("1000", false, &none), ("", true, &all), ("1000", true, &none)]
        {
            let mut looks = script(
                &base,
                "grep ^Cap[IPEA] /proc/self/status | cut -f 2; grep CapBnd /proc/self/status | cut -f 2",
            );
            let process = looks.process.as_mut().unwrap();
            (process.user, process.security.privileged) = (user.to_owned(), is_privileged);
            let (_, output) = run(&*engine, looks).await;
            let said = text(&output.stdout);
            let seen: Vec<&str> = said.lines().collect();
            assert_eq!(seen[..4], [&none, own, own, &none], "{user} {is_privileged}");
            assert!(is_privileged || seen[4] == bound, "{user}: {said}");
        }
        engine.close().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dies_leaves_no_memory_behind() {
    let engine = engine!();
    let base = busybox(&engine).await;
    let mut crashes = script(
        &base,
        "ulimit -c; mkdir /left; cd /left; sh -c 'kill -SEGV $$'; ls | wc -l; test $(ulimit -Hc) != 0 && echo may",
    );
    crashes.process.as_mut().unwrap().secret_env = vec![("TOKEN".to_owned(), "secret".to_owned())];
    let (_, output) = run(&*engine, crashes).await;
    assert_eq!(text(&output.stdout), "0\n0\nmay\n", "{}", text(&output.stderr));
    engine.close().await.unwrap();
}
