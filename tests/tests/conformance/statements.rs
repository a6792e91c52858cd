//! What statements promise besides the plain `exec`: each one seen from inside a real container.

use std::time::{Duration, Instant};

use bowline::{Container, Error, Exec, Expect, Session, StepCause, pipeline};
use bowline_tests::{busybox, nonce};

#[bowline::test]
async fn stdin_is_read_whole_and_then_ends() {
    let nonce = nonce();
    let p = pipeline! {
        container sorted {
            image "busybox:1.35";
            exec ["sort"] { stdin format!("{nonce}\nc\na\n"); }
        }
        // A process that does not read is no mistake.
        container deaf {
            image "busybox:1.35";
            exec ["echo", &nonce] { stdin vec![b'x'; 3_000_000]; }
        }
        container counts {
            image "busybox:1.35";
            env NONCE = &nonce;
            exec ["wc", "-c"] { stdin vec![b'x'; 3_000_000]; }
        }
    };
    assert!(p.sorted.stdout().await.unwrap().ends_with("a\nc\n"));
    assert_eq!(p.deaf.stdout().await.unwrap(), format!("{nonce}\n"));
    assert_eq!(p.counts.stdout().await.unwrap(), "3000000\n");
    let none = busybox().exec(["wc", "-c"]);
    assert_eq!(none.stdout().await.unwrap(), "0\n");
}

#[bowline::test]
async fn any_end_is_a_result_and_kept() {
    let nonce = nonce();
    let p = pipeline! {
        container a {
            image "busybox:1.35";
            env NONCE = nonce;
            shell "date +%N; head -c 9 /dev/urandom > /left; exit 3" { expect any; }
            export "/left" as left;
        }
    };
    assert_eq!(p.a.exit_code().await.unwrap(), 3);
    let (stdout, left) = (p.a.stdout().await.unwrap(), p.a.left().bytes().await.unwrap());
    let second = Session::new();
    assert_eq!(second.scope(p.a.exit_code()).await.unwrap(), 3);
    assert_eq!(second.scope(p.a.stdout()).await.unwrap(), stdout);
    assert_eq!(second.scope(p.a.left().bytes()).await.unwrap(), left);
    second.close().await.unwrap();
    let next = Container::from_container(&p.a).exec(["stat", "/left"]);
    next.sync().await.unwrap();
}

#[bowline::test]
async fn a_failure_that_is_expected_has_to_happen() {
    let fails = busybox().exec(Exec::shell("exit 4").expect(Expect::Failure));
    assert_eq!(fails.exit_code().await.unwrap(), 4);
    let succeeds = busybox().exec(Exec::new(["true"]).expect(Expect::Failure)).named("optimist");
    let error = succeeds.sync().await.unwrap_err();
    let Error::StepFailed(step) = &error else { panic!("{error}") };
    assert_eq!((step.cause, step.exit.code), (StepCause::Succeeded, 0));
    let text = "step `true` of `optimist` succeeded, although it was expected to fail";
    let help = "help: `expect any` takes either end, and without `expect` it has to succeed";
    assert_eq!(error.to_string(), format!("{text}\n  --> {}\n\n{help}", step.locations()[0]));
}

#[bowline::test]
async fn a_timeout_kills_and_says_so() {
    let nonce = nonce();
    let p = pipeline! {
        container slow {
            image "busybox:1.35";
            env NONCE = nonce;
            shell "trap '' TERM; echo begun; echo x > /report; sleep 600" { timeout "2s"; expect any; }
        }
    };
    let began = Instant::now();
    let error = p.slow.sync().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let Error::StepFailed(step) = &error else { panic!("{error}") };
    assert_eq!(step.cause, StepCause::TimedOut(Duration::from_secs(2)));
    assert_eq!((step.exit.code, step.stdout.as_str()), (137, "begun\n"));
    assert!(error.to_string().contains("it did not end within 2 s"), "{error}");
    assert_eq!(error.container().unwrap().file("/report").contents().await.unwrap(), "x\n");
    // Who is in time notices nothing, and a changed limit finds the kept result.
    let step = |limit: &str| busybox().env("NONCE", "in time").exec(Exec::shell("date +%N").timeout(limit));
    assert_eq!(step("1m").stdout().await.unwrap(), step("2m").stdout().await.unwrap());
}

#[bowline::test]
async fn streams_are_written_to_files() {
    let nonce = nonce();
    let p = pipeline! {
        container a {
            image "busybox:1.35";
            env NONCE = nonce;
            shell "echo out; echo err >&2; exit 1" { stdout to "/made/here/out"; stderr to "/err"; expect any; }
            exec ["sh", "-c", "cat /made/here/out /err; stat -c %a:%u /err"];
        }
    };
    assert_eq!(p.a.stdout().await.unwrap(), "out\nerr\n644:0\n");
    let step = busybox().exec(Exec::new(["echo", "both"]).stdout_to("/out"));
    assert_eq!(step.stdout().await.unwrap(), "both\n");
    assert_eq!(step.file("/out").contents().await.unwrap(), "both\n");
    let fails = busybox().exec(Exec::shell("echo report; exit 1").stdout_to("/report"));
    let error = fails.sync().await.unwrap_err();
    assert_eq!(error.container().unwrap().file("/report").contents().await.unwrap(), "report\n");
}

#[bowline::test]
async fn an_uncached_step_runs_once_a_session_with_all_that_follows() {
    if !bowline_tests::has_time() {
        return;
    }
    let nonce = nonce();
    let p = pipeline! {
        cache count = format!("test-{nonce}");
        container a {
            image "busybox:1.35";
            env NONCE = &nonce;
            mount count at "/count";
            shell "echo before >> /count/before";
            shell "echo x >> /count/runs; head -c 9 /dev/urandom | md5sum | tee /sum" { uncached; }
            exec ["cat", "/sum"];
        }
        container runs {
            image "busybox:1.35";
            mount count at "/count";
            shell "wc -l < /count/runs; wc -l < /count/before" { uncached; }
        }
    };
    let first = p.a.stdout().await.unwrap();
    assert_eq!(p.a.stdout().await.unwrap(), first);
    assert_eq!(p.a.file("/sum").contents().await.unwrap(), first);
    let second = Session::new();
    let other = second.scope(p.a.stdout()).await.unwrap();
    assert_ne!(other, first);
    assert_eq!(second.scope(p.runs.stdout()).await.unwrap(), "2\n1\n");
    second.close().await.unwrap();
}

#[bowline::test]
async fn the_host_name_and_memory_are_a_process_own() {
    let nonce = nonce();
    let p = pipeline! {
        container a {
            image "busybox:1.35";
            env NONCE = nonce;
            hostname "my-host";
            tmpfs "/fast/";
            shell "hostname; grep -c ' /fast tmpfs' /proc/mounts; echo x > /fast/x; echo x > /kept";
            shell "ls /fast | wc -l; cat /kept";
        }
    };
    let first = Container::from_container(&p.a).exec(["hostname"]);
    assert_eq!(first.stdout().await.unwrap(), "my-host\n");
    assert_eq!(p.a.stdout().await.unwrap(), "0\nx\n");
    let refused = p.a.directory("/fast").entries().await.unwrap_err().to_string();
    assert!(refused.contains("a `tmpfs` is mounted at `/fast`"), "{refused}");
    let mounts = busybox().tmpfs("/fast").shell("grep -c ' /fast tmpfs' /proc/mounts; hostname");
    assert_eq!(mounts.stdout().await.unwrap(), "1\nbowline\n");
}

/// Whether the daemon of this machine may do all that its kernel knows of, and so whatever it starts.
fn has_all_rights() -> bool {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().map(|process| process.unwrap().path());
    let is_daemon = |process: &std::path::PathBuf| {
        std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "dockerd")
    };
    let daemon = { processes }.find(is_daemon).unwrap_or("/proc/1".into());
    let status = std::fs::read_to_string(daemon.join("status")).unwrap();
    let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    let bounds = u64::from_str_radix(bounds.trim(), 16).unwrap();
    (0..=last.trim().parse::<u32>().unwrap()).all(|right| bounds >> right & 1 == 1)
}

#[bowline::test]
async fn only_the_privileged_have_all_rights() {
    let nonce = nonce();
    let mount = "mkdir -p /mnt; mount -t tmpfs none /mnt && echo mounted || echo refused";
    let p = pipeline! {
        container privileged_ {
            image "busybox:1.35";
            env NONCE = &nonce;
            privileged;
            shell mount;
        }
        container plain {
            image "busybox:1.35";
            env NONCE = &nonce;
            shell mount;
        }
    };
    assert_eq!(p.plain.stdout().await.unwrap(), "refused\n");
    match p.privileged_.stdout().await {
        Ok(said) => assert_eq!(said, "mounted\n"),
        // An engine that is itself in a container, or whose unit bounds its rights, cannot give what it has not got, and
        // says what it was asked for. That is so only where a right is missing: not where the engine has what we have.
        Err(error) => {
            assert!(error.to_string().contains("unable to apply caps"), "{error}");
            assert!(!has_all_rights(), "nothing is missing that the engine could not give: {error}");
        }
    }
}

#[bowline::test]
async fn an_entry_point_takes_the_place_of_the_images() {
    let nonce = nonce();
    let p = pipeline! {
        service web {
            image "python:3.11";
            env NONCE = nonce;
            file "/wrapper" = "#!/bin/sh\necho \"$@\" > /srv/words; cd /srv; exec python3 -m http.server 8080";
            workdir "/srv";
            entrypoint ["/bin/sh", "/wrapper"];
            run ["one", "two"];
            expose 8080;
        }
        container words {
            image "busybox:1.35";
            bind web;
            exec ["wget", "-qO-", "http://web:8080/words"];
        }
    };
    assert_eq!(p.words.stdout().await.unwrap(), "one two\n");
    let other = p.web.clone().entrypoint(["/bin/true"]);
    assert_ne!(other.hostname(), p.web.hostname());
}

#[bowline::test]
async fn a_socket_of_the_host_is_reached() {
    use std::io::{Read as _, Write as _};
    let path = std::env::temp_dir().join(format!("bowline-{}.sock", nonce()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"pong").unwrap();
        heard
    });
    let program = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/host.sock'); s.sendall(b'ping'); print(s.recv(4).decode())";
    let host = path.to_str().unwrap();
    let p = pipeline! {
        container a {
            image "python:3.11";
            socket host at "/run/host.sock";
            exec ["python3", "-c", program];
        }
    };
    assert_eq!(p.a.stdout().await.unwrap(), "pong\n");
    assert_eq!(&answering.join().unwrap(), b"ping");
    std::fs::remove_file(&path).unwrap();
}

#[bowline::test]
async fn limits_reach_the_process_and_change_no_identity() {
    if !bowline_tests::may_limit() {
        return;
    }
    let nonce = nonce();
    // Of either version of control groups.
    let look = "cd /sys/fs/cgroup; {
        cat memory/memory.limit_in_bytes || cat memory.max
        { cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us || cat cpu.max; } | xargs
        } 2>/dev/null";
    let serve = format!("mkdir /www; {{ {look}; }} > /www/limits; exec httpd -f -p 80 -h /www");
    let p = pipeline! {
        service limited {
            image "busybox:1.35";
            env NONCE = nonce;
            limit cpu 0.5;
            limit memory "64MiB";
            run ["sh", "-c", serve];
            expose 80;
        }
        container client {
            image "busybox:1.35";
            bind limited as "srv";
            exec ["wget", "-qO-", "http://srv/limits"];
        }
        container own {
            image "busybox:1.35";
            limit cpu 0.5;
            limit memory "64MiB";
            exec ["sh", "-c", look];
        }
    };
    let limits = "67108864\n50000 100000\n";
    assert_eq!(p.client.stdout().await.unwrap(), limits);
    assert_eq!(p.own.stdout().await.unwrap(), limits);
    assert_eq!(p.limited.clone().limit_memory("1GiB").hostname(), p.limited.hostname());
    let wrong = busybox().limit_memory("much").exec(["true"]).sync().await.unwrap_err().to_string();
    assert!(wrong.contains("invalid size `much`"), "{wrong}");
}
