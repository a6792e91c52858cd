//! Steps of one container that follow each other: wherever an engine runs them, each finds what it would find in a container
//! of its own, and what is seen of them is of one run.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bowline::{Container, Error, Exec, Secret, Session, StepCause};
use bowline_tests::{created_since, docker, eventually, nonce, on_docker};

const UUID: &str = "cat /proc/sys/kernel/random/uuid";

fn busybox(nonce: &str) -> Container {
    Container::from_image("busybox:1.35").env("NONCE", nonce)
}

#[bowline::test]
async fn a_chain_takes_one_container_and_leaves_what_its_steps_left() {
    let session = Session::current();
    let start = busybox(&nonce()).shell("mkdir -p /a/b; echo 0 > /log; chmod 700 /a");
    let chain = (1..10).fold(start, |chain, number| chain.shell(format!("echo {number} >> /log")));
    let since = SystemTime::now();
    assert_eq!(chain.clone().shell("cat /log").stdout().await.unwrap().lines().count(), 10);
    // The chain's own end is a value, so what follows it has a container to itself.
    if on_docker("there every step has a container of its own, as that costs nothing") {
        assert!(created_since(&session, since).is_none_or(|made| made == 2));
    }
    let root = chain.directory("/").entries().await.unwrap();
    assert!(root.iter().all(|entry| !entry.name.starts_with(".bowline")), "{root:?}");
    assert_eq!(chain.file("/log").contents().await.unwrap(), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    assert_eq!(chain.shell("stat -c %a /a").stdout().await.unwrap(), "700\n");
}

#[bowline::test]
async fn a_step_in_a_chain_is_as_one_in_a_container_of_its_own() {
    const LOOK: &str = "env | sort; id; pwd; umask; ulimit -a; grep -E '^(Cap|NoNew|Seccomp|Sig[IB])' /proc/self/status;
        find /dev | sort; ls -l /dev/shm /dev/mqueue; cat /etc/resolv.conf; hostname; cat; readlink /proc/self/fd/0 | cut -c 1-5;
        cat /proc/sysvipc/shm; ls -ld / /tmp /srv /srv/new | cut -c 1-10";
    let set: [fn(Container) -> Container; 6] = [
        |one| one,
        |one| one.env("A", "1").env("PATH", "/bin:/usr/bin:/nowhere").user("1000:100"),
        |one| one.workdir("/srv/new/deep").user("daemon").env("HOME", "/elsewhere"),
        |one| one.workdir("/tmp").user("0:5").env("HOSTNAME", "other"),
        |one| one.user("1234").env("EMPTY", "").env("LINES", "a\nb"),
        |one| one.user("root").workdir("/"),
    ];
    let before = || busybox(&nonce()).shell("mkdir /srv");
    for set in set {
        for input in [None, Some("input\n")] {
            let look = |one: Container| {
                let look = Exec::shell(LOOK);
                one.exec(match input {
                    Some(input) => look.stdin(input),
                    None => look,
                })
            };
            let first = before();
            // A value ends before it, so it has a container to itself.
            let expected = look(set(first.clone())).output().await.unwrap();
            drop(first);
            let seen = look(set(before().shell("env > /dev/null"))).output().await.unwrap();
            let text = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let lines = text.lines().filter(|line| !line.starts_with("NONCE="));
                lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
            };
            assert_eq!(text(&seen.stdout), text(&expected.stdout));
            assert_eq!(text(&seen.stderr), text(&expected.stderr));
        }
    }
}

/// What a step leaves, and what the next one says that looks for it.
const LEFT: [(&str, &str, &str); 14] = [
    ("sleep 1001 > /dev/null 2>&1 &", "ps | grep -c '[s]leep 1001'", "0"),
    // It holds the output.
    ("sleep 1002 & echo left", "ps | grep -c '[s]leep 1002'", "0"),
    (
        "(trap '' HUP TERM INT; while :; do sleep 1; done) > /dev/null 2>&1 & sleep 0.1",
        "ps | grep -c '[s]leep 1$'",
        "0",
    ),
    ("nc -l -p 7001 < /dev/null > /dev/null 2>&1 & sleep 0.2", "netstat -ant | grep -c 7001", "0"),
    (
        "(echo | nc -l -p 7002 > /dev/null 2>&1 &); sleep 0.3; nc 127.0.0.1 7002 < /dev/null",
        "netstat -ant | grep -c 7002",
        "0",
    ),
    ("echo > /dev/shm/left; mkdir /dev/shm/more", "ls /dev/shm | wc -l", "0"),
    ("chmod 700 /dev/shm", "stat -c %a /dev/shm", "1777"),
    ("echo > /dev/left", "ls /dev | grep -c left", "0"),
    ("rm -f /dev/null; true", "test -c /dev/null; echo $?", "0"),
    ("ln -sf /etc/passwd /dev/stdin", "readlink /dev/stdin", "/proc/self/fd/0"),
    ("echo '127.0.0.9 left' >> /etc/hosts", "grep -c left /etc/hosts", "0"),
    ("echo '# left' >> /etc/resolv.conf", "grep -c left /etc/resolv.conf", "0"),
    ("echo left > /etc/hostname", "cat /etc/hostname", "bowline"),
    ("touch /dev/mqueue/left", "ls /dev/mqueue | wc -l", "0"),
];

#[bowline::test]
async fn nothing_but_files_of_the_image_is_left_for_the_next_step() {
    let mut chain = busybox(&nonce()).shell("true");
    for (number, (leave, look, _)) in LEFT.iter().enumerate() {
        chain = chain.shell(*leave);
        chain = chain.shell(format!("echo {number} `{look}` >> /seen; echo kept > /tmp/{number}"));
    }
    let began = Instant::now();
    let seen = chain.shell("cat /seen; ls /tmp | wc -l").stdout().await.unwrap();
    let expected: Vec<_> =
        LEFT.iter().enumerate().map(|(number, (_, _, is))| format!("{number} {is}\n")).collect();
    assert_eq!(seen, format!("{}{}\n", expected.concat(), LEFT.len()));
    assert!(began.elapsed() < Duration::from_secs(300), "nobody waits for what was left running");
}

#[bowline::test]
async fn a_secret_of_one_step_is_not_there_in_the_next() {
    let secret = format!("secret-{}", nonce());
    let of = Secret::value("TOKEN", &secret);
    let chain = busybox(&nonce())
        .env("TOKEN", &of)
        .shell("echo -n \"$TOKEN\" | wc -c > /length; sleep 1003 > /dev/null 2>&1 &")
        .env("TOKEN", "none")
        .shell("cat /proc/[0-9]*/environ 2> /dev/null | tr '\\000' '\\n' > /all; env >> /all")
        .shell("cat /length; grep -c secret- /all; grep TOKEN /all | sort -u");
    let seen = chain.stdout().await.unwrap();
    assert_eq!(seen, format!("{}\n0\nTOKEN=none\n", secret.len()));
    if on_docker("there no process is told of another one's container") {
        let containers = bowline_tests::containers(&Session::current());
        let inspected = containers.iter().map(|id| docker(&["inspect", id]));
        assert!(inspected.into_iter().all(|one| !one.contains(&secret)));
    }
}

#[bowline::test]
async fn a_step_of_a_chain_fails_as_any_other() {
    let start = || busybox(&nonce()).shell("echo before > /before");
    let missing = start().exec(["no-such-command"]).stdout().await.unwrap_err().to_string();
    assert!(missing.contains("there is no command `no-such-command` in it"), "{missing}");
    let directory = start().exec(["/etc"]).stdout().await.unwrap_err().to_string();
    assert!(directory.to_lowercase().contains("permission denied"), "{directory}");
    let user = start().user("nobody-there").shell("id").stdout().await.unwrap_err().to_string();
    assert!(user.contains("nobody-there"), "{user}");
    let killed = start().shell("kill -9 $$").exit_code().await.unwrap();
    assert_eq!(killed, 137);
    // Everything that it can see ends, and not the container.
    assert_eq!(start().shell("kill -9 -1; kill -9 1; sleep 0.1; exit 7").exit_code().await.unwrap(), 7);
    let script = "echo out; echo err >&2; echo now > /now; exit 3";
    let error = start().shell(script).shell("true").sync().await.unwrap_err();
    let left = error.container().unwrap();
    let Error::StepFailed(failed) = error else { panic!("it is no step's error") };
    assert_eq!((failed.exit.code, failed.stdout.trim(), failed.stderr.trim()), (3, "out", "err"));
    assert_eq!(left.file("/before").contents().await.unwrap(), "before\n");
    assert_eq!(left.shell("cat /now").stdout().await.unwrap(), "now\n");
}

#[bowline::test]
async fn a_timeout_ends_all_that_a_step_of_a_chain_runs() {
    let chain = busybox(&nonce())
        .shell("echo before > /before")
        .exec(Exec::shell("sleep 1004 & echo begun; sleep 1005").timeout(Duration::from_secs(2)))
        .shell("true");
    let began = Instant::now();
    let error = chain.sync().await.unwrap_err();
    let left = error.container().unwrap();
    let Error::StepFailed(failed) = error else { panic!("it is no step's error") };
    assert!(matches!(failed.cause, StepCause::TimedOut(_)), "{failed}");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(failed.stdout, "begun\n");
    assert_eq!(left.file("/before").contents().await.unwrap(), "before\n");
}

/// A chain of which each step adds something random, and shows all that there is.
fn random(nonce: &str, last: &[&str]) -> Container {
    last.iter()
        .fold(busybox(nonce), |chain, edit| chain.shell(format!("({UUID}; true {edit}) >> /log; cat /log")))
}

async fn seen(session: &Session, chain: &Container) -> Vec<String> {
    session.scope(chain.stdout()).await.unwrap().lines().map(str::to_owned).collect()
}

#[bowline::test]
async fn edited_chains_are_of_one_run_wherever_they_are_seen() {
    let id = nonce();
    let whole = ["a", "b", "c", "d", "e"];
    let first = seen(&Session::current(), &random(&id, &whole)).await;
    assert_eq!(first.len(), 5);
    for (place, length) in [(4, 5), (2, 5), (0, 5), (4, 5)] {
        let session = Session::new();
        let edit = format!("edit-{place}-{}", nonce());
        let mut steps = whole;
        steps[place] = &edit;
        let edited = seen(&session, &random(&id, &steps)).await;
        assert_eq!(edited.len(), length);
        // What both have in common may have run again: then everybody sees that run.
        let others = Session::new();
        for end in 1..=place {
            assert_eq!(seen(&others, &random(&id, &steps[..end])).await, edited[..end], "{place} {end}");
        }
        let again = seen(&others, &random(&id, &whole)).await;
        assert_eq!(again[..place], edited[..place], "{place}");
        assert_ne!(again[place], edited[place]);
        assert_eq!(seen(&others, &random(&id, &steps)).await, edited, "{place}");
        let log = others.scope(random(&id, &steps[..=place]).file("/log").contents()).await.unwrap();
        let shown = seen(&others, &random(&id, &steps[..=place])).await;
        assert_eq!(log.lines().collect::<Vec<_>>(), shown, "{place}");
        session.close().await.unwrap();
        others.close().await.unwrap();
    }
}

#[bowline::test]
async fn what_several_go_on_from_is_run_once() {
    let id = nonce();
    let base = || busybox(&id).shell(format!("{UUID} > /id"));
    let (one, other) = (base().shell("cat /id"), base().shell("cat /id; true"));
    let (one, other, file) = tokio::join!(one.stdout(), other.stdout(), base().file("/id").contents());
    let one = one.unwrap();
    assert_eq!((one.clone(), one), (other.unwrap(), file.unwrap()));
    // One value is the beginning of others.
    let base = busybox(&nonce()).shell(format!("{UUID} > /id"));
    let first = base.clone().shell("cat /id").stdout().await.unwrap();
    assert_eq!(base.clone().shell("cat /id; true").stdout().await.unwrap(), first);
    assert_eq!(base.file("/id").contents().await.unwrap(), first);
}

#[test]
fn nothing_of_a_chain_outlives_its_owner() {
    if !on_docker("there the host's end is every container's, and has tests of its own") {
        return;
    }
    let name = format!("test-{}", nonce());
    let home = tempfile::tempdir().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_kept"))
        .arg("sleeping-chain")
        .env("NONCE", &name)
        .env("BOWLINE_HOME", home.path())
        .env("BOWLINE_PROGRESS", "log")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("sleep 1000")), "it does not run");
    let filter = format!("label=bowline.name={name}");
    assert_eq!(docker(&["ps", "--quiet", "--filter", &filter]).lines().count(), 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("its container is gone", Duration::from_secs(30), || {
        docker(&["ps", "--all", "--quiet", "--filter", &filter]).is_empty()
    });
}
