//! Limits that processes run into; what they see of those of time and memory is in `statements.rs`.

use bowline::{Container, Error, Service, pipeline};
use bowline_tests::{busybox, may_limit, nonce, on_native};

/// Starts forty processes, one by one, and ends them.
const MANY: &str = "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; kill $(jobs -p); echo all";

#[bowline::test]
async fn more_processes_than_a_limit_allows_cannot_be_started() {
    if !may_limit() {
        return;
    }
    assert_eq!(busybox().shell(MANY).stdout().await.unwrap(), "all\n");
    let error = busybox().limit_pids(16).shell(MANY).sync().await.unwrap_err();
    let Error::StepFailed(details) = &error else { panic!("{error}") };
    assert_eq!(details.exit.code, 2, "{error}");
    assert!(error.to_string().contains("can't fork: Resource temporarily unavailable"), "{error}");
    // A thread is one, too.
    let threads = "import threading\nfor _ in range(40): threading.Thread(target=threading.Event().wait, daemon=True).start()";
    let python = Container::from_image("python:3.11").env("NONCE", nonce());
    let error = python.limit_pids(16).exec(["python3", "-c", threads]).sync().await.unwrap_err();
    assert!(error.to_string().contains("can't start new thread"), "{error}");
}

#[bowline::test]
async fn a_limit_of_files_is_that_of_every_process() {
    let nonce = nonce();
    let look = "ulimit -n; ulimit -Hn";
    let serve = format!("mkdir /www; {{ {look}; }} > /www/files; exec httpd -f -p 80 -h /www");
    let is_limited = "test $(ulimit -n) = 4321 && test $(ulimit -Hn) = 4321";
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = &nonce;
            limit nofile 4321;
            run ["sh", "-c", serve];
            expose 80;
            ready exec ["sh", "-c", is_limited] within "20s";
        }
        container client {
            image "busybox:1.35";
            bind web;
            exec ["wget", "-qO-", "http://web/files"];
        }
        container own {
            image "busybox:1.35";
            env NONCE = &nonce;
            limit nofile 4321;
            user "65534";
            exec ["sh", "-c", look];
        }
    };
    assert_eq!(p.client.stdout().await.unwrap(), "4321\n4321\n");
    assert_eq!(p.own.stdout().await.unwrap(), "4321\n4321\n");
    assert_eq!(p.web.clone().limit_nofile(5000).limit_pids(99).hostname(), p.web.hostname());
}

#[bowline::test]
async fn a_limit_of_core_files_is_that_of_every_process() {
    let look = "grep -o 'core file size.*[0-9]' /proc/self/limits | xargs";
    let seen = async |container: Container| container.shell(look).stdout().await.unwrap();
    assert_eq!(seen(busybox().limit_core("0")).await, "core file size 0 0\n");
    // In bytes, and the last one counts.
    let half = busybox().limit_core("1MiB").limit_core("0.5MiB").user("65534");
    assert_eq!(seen(half).await, "core file size 524288 524288\n");
    let raised = busybox().limit_core("0").user("65534").shell("ulimit -c 10 2>/dev/null || echo refused");
    assert_eq!(raised.stdout().await.unwrap(), "refused\n");
    let service = Service::from_image("redis:7").expose(6379);
    assert_eq!(service.clone().limit_core(5).hostname(), service.hostname());
}

#[bowline::test]
async fn shared_memory_is_as_large_as_is_said() {
    let look = "df -k /dev/shm | awk 'NR == 2 { print $2 }'; grep -c ' /dev/shm tmpfs' /proc/mounts";
    let seen = async |container: Container| container.shell(look).stdout().await.unwrap();
    assert_eq!(seen(busybox()).await, "65536\n1\n");
    assert_eq!(seen(busybox().shm("128MiB")).await, "131072\n1\n");
    let fills = "dd if=/dev/zero of=/dev/shm/x bs=1024 count=2000 2>&1 | grep -o 'No space left.*'; wc -c < /dev/shm/x";
    let full = busybox().user("65534").shm("1MiB").shell(fills).stdout().await.unwrap();
    assert_eq!(full, "No space left on device\n1048576\n");
    let service = Service::from_image("redis:7").expose(6379);
    assert_eq!(service.clone().shm("1GiB").hostname(), service.hostname());
}

#[bowline::test]
async fn a_probe_is_limited_with_what_it_asks() {
    if !may_limit() {
        return;
    }
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = nonce;
            limit pids 32;
            run ["httpd", "-f", "-p", "80", "-h", "/"];
            expose 80;
            ready exec ["cmp", "/proc/self/cgroup", "/proc/1/cgroup"] within "20s";
        }
        container client {
            image "busybox:1.35";
            bind web;
            exec ["wget", "-qO-", "http://web/etc/hosts"];
        }
    };
    p.client.sync().await.unwrap();
}

#[bowline::test]
async fn more_files_than_may_be_allowed_are_an_error_that_says_so() {
    // More than any kernel allows unless it is told to.
    let error = busybox().limit_nofile(2_147_483_584).exec(["true"]).sync().await.unwrap_err().to_string();
    assert!(error.contains("limit nofile") && error.contains("help: "), "{error}");
    assert!(error.contains("fs.nr_open"), "{error}");
}

#[bowline::test]
async fn limits_that_no_kernel_takes_are_mistakes() {
    for (wrong, said) in [
        (busybox().limit_pids(1), "`limit pids` of 1 is out of range"),
        (busybox().limit_pids(5_000_000), "`limit pids` of 5000000 is out of range"),
        (busybox().limit_nofile(0), "`limit nofile` of 0 is out of range"),
        (busybox().limit_core(1 << 63), "`limit core` of 9223372036854775808 is out of range"),
        (busybox().shm(4095), "`shm` of 4095 bytes is less than a page"),
        (busybox().limit_core("some"), "invalid size `some`"),
        (busybox().limit_memory("0"), "`limit memory` of 0 is out of range"),
    ] {
        let error = wrong.exec(["true"]).sync().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// What containers print of their limits where the pipeline is started by a shell that says this before.
fn seen_behind(shell: &str) -> Vec<String> {
    let script = format!("{shell} exec \"$0\" ulimits");
    let mut command = std::process::Command::new("bash");
    let output = command.args(["-c", &script, env!("CARGO_BIN_EXE_pipeline")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn containers_do_not_inherit_the_limits_of_a_shell() {
    let seen = seen_behind(
        "ulimit -S -n 256; ulimit -S -c 0; ulimit -S -s 1024; ulimit -S -u 5000; ulimit -S -t 90;",
    );
    assert_eq!(seen, seen_behind(""));
    if !on_native("there they are those that the daemon was started with") {
        return;
    }
    let found = |what: &str, nth: usize| {
        let lines: Vec<_> = seen.iter().filter(|line| line.starts_with(what)).collect();
        lines[nth].rsplit(' ').next().unwrap().to_owned()
    };
    // As much as there may be; one in the place of a hard limit that was lower before cannot be told from here.
    for what in ["open files", "max user processes", "cpu time"] {
        assert_eq!(found(what, 0), found(what, 1), "{what}");
    }
    // What a process has in memory is not to be kept.
    assert_eq!(found("core file size", 0), "0");
    assert_ne!(found("open files", 0), "256");
    assert_eq!(found("stack size", 0), "8192");
    assert_eq!([found("open files", 2), found("open files", 3)], ["200", "200"]);
}
