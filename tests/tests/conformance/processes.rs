//! What happens to whole pipelines: killed, interrupted, cut off, switched off.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bowline_tests::{eventually, remains};

fn pipeline(mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg(mode).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a pipeline that runs for long, and waits until everything in it does; gives its session.
fn running(mode: &str) -> (Child, String) {
    let mut child = pipeline(mode).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let session = lines.next().unwrap().unwrap().strip_prefix("session ").unwrap().to_owned();
    assert_eq!(lines.next().unwrap().unwrap(), "running");
    assert!(remains(&session).len() >= 3, "a service, a step and a network: {:?}", remains(&session));
    (child, session)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn nothing_left(session: &str) {
    eventually("nothing is left", Duration::from_secs(10), || remains(session).is_empty());
}

#[test]
fn sigkill_leaves_nothing_after_ten_seconds() {
    for mode in ["owned", "plain-for-long"] {
        let (mut child, session) = running(mode);
        child.kill().unwrap();
        child.wait().unwrap();
        nothing_left(&session);
    }
}

#[test]
fn sigint_and_sigterm_stop_cleanly_and_end_by_the_signal() {
    use std::os::unix::process::ExitStatusExt as _;
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let (mut child, session) = running("owned");
        signal(&child, name);
        let began = Instant::now();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(number), "{status}");
        assert!(began.elapsed() < Duration::from_secs(10));
        nothing_left(&session);
    }
}

/// The next run finds the cache as it was before, and not half of what the service made of it.
#[test]
fn a_database_that_is_being_set_up_is_good_in_the_next_run_whatever_ends_this_one() {
    let key = format!("test-{}", bowline_tests::nonce());
    for name in ["TERM", "INT", "KILL"] {
        let mut starting = pipeline("initialise");
        let starting = starting.env("KEY", &key).env("TAKES", "600").env("BOWLINE_PROGRESS", "log");
        let mut child = starting.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("setting up")), "it has not begun, before {name}");
        signal(&child, name);
        let rest: Vec<String> = lines.collect();
        child.wait().unwrap();
        if name != "KILL" {
            let says_so = |line: &String| line.contains(&format!("the cache `{key}` is empty again"));
            assert!(rest.iter().any(says_so), "{rest:#?}");
        }
    }
    let output = pipeline("initialise").env("KEY", &key).env("TAKES", "0").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "served\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_second_signal_forces_the_end() {
    let (mut child, session) = running("owned");
    signal(&child, "INT");
    signal(&child, "INT");
    child.wait().unwrap();
    nothing_left(&session);
}

/// On an engine that sees to it a program ends before its services have: these still stop one after the other, and whoever
/// comes next finds what they left.
#[test]
fn services_stop_in_order_whether_or_not_the_program_waits() {
    let key = format!("test-{}", bowline_tests::nonce());
    let output = pipeline("leave").env("KEY", &key).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let session = stdout.trim().strip_prefix("session ").unwrap();
    if bowline_tests::inspector().ends_services() {
        assert!(!remains(session).is_empty(), "the program has waited for its services");
    }
    let output = pipeline("left").env("KEY", &key).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "above\n200\nbelow\n");
    nothing_left(session);
}

#[test]
fn a_step_runs_once_for_all_processes() {
    let key = format!("test-{}", bowline_tests::nonce());
    let start = || pipeline("once").env("KEY", &key).env("BOWLINE_PROGRESS", "log").spawn().unwrap();
    let all: Vec<_> = (0..4).map(|_| start()).collect();
    let outputs: Vec<_> = all.into_iter().map(|one| one.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.stdout == b"done\n"), "{outputs:?}");
    let waited = |output: &&std::process::Output| {
        String::from_utf8_lossy(&output.stderr).contains("waits for another process that runs it")
    };
    assert!(outputs.iter().any(|output| waited(&output)), "{outputs:?}");
    let output = pipeline("left").env("KEY", &key).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ran\n");
}

#[test]
fn a_panic_cleans_up_and_goes_on() {
    let output = pipeline("panics").output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    assert!(String::from_utf8_lossy(&output.stderr).contains("as the test wants it"));
    let session =
        String::from_utf8(output.stdout).unwrap().trim().strip_prefix("session ").unwrap().to_owned();
    nothing_left(&session);
}

#[test]
fn a_plain_tokio_main_works_and_leaks_nothing() {
    let output = pipeline("plain").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let (session, rest) = stdout.split_once('\n').unwrap();
    assert_eq!(rest, "web", "{}", String::from_utf8_lossy(&output.stderr));
    nothing_left(session.strip_prefix("session ").unwrap());
}

#[test]
fn only_the_programs_own_output_is_on_stdout_whatever_is_shown() {
    for progress in ["", "plain", "json", "quiet"] {
        let output = pipeline("ping").env("BOWLINE_PROGRESS", progress).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n");
        assert_eq!(output.stderr.is_empty(), progress == "quiet");
    }
    let output = pipeline("ping").env("BOWLINE_PROGRESS", "log").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in
        ["redis        | • ready after", "container    | • redis-cli -h db ping", "container    | PONG"]
    {
        assert!(stderr.contains(line), "{line:?} is not in:\n{stderr}");
    }
}

#[test]
fn services_can_be_switched_off() {
    let output = pipeline("ping").env("BOWLINE_SERVICES", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("service `redis` is needed, but services are switched off by BOWLINE_SERVICES=off"),
        "{stderr}"
    );
}

#[test]
fn an_unreachable_engine_is_diagnosed_within_two_seconds() {
    // 192.0.2.0/24 is for documentation (RFC 5737); a listener that never answers stands for a hung engine.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hung = format!("tcp://{}", silent.local_addr().unwrap());
    for host in ["tcp://127.0.0.1:1", "unix:///no/such.sock", &hung, "nonsense://x"] {
        let began = Instant::now();
        let mut ping = pipeline("ping");
        let output = ping.env("DOCKER_HOST", host).env("BOWLINE_ENGINE", "docker").output().unwrap();
        assert!(began.elapsed() < Duration::from_millis(2500), "{host}: {:?}", began.elapsed());
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in ["no container engine answers", "DOCKER_HOST", host, "help: start Docker"] {
            assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
        }
    }
}

#[test]
fn without_docker_the_native_engine_runs_what_it_has() {
    if !bowline_tests::on_native("without Docker there is the native engine alone") {
        return;
    }
    let store = tempfile::tempdir().unwrap();
    let ping = |without: bool| {
        let mut command = pipeline("ping");
        command.env_remove("BOWLINE_ENGINE").env("BOWLINE_HOME", store.path());
        if without {
            command.env("DOCKER_HOST", "unix:///no/such.sock");
            command
                .env("BOWLINE_REGISTRIES", "docker.io=http://127.0.0.1:1,index.docker.io=http://127.0.0.1:1");
        } else {
            command.env("BOWLINE_ENGINE", "native");
        }
        command.output().unwrap()
    };
    let output = ping(true);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // No registry either.
    assert!(stderr.contains("Error: pull `docker.io/library/redis:7`: "), "{stderr}");
    assert_eq!(ping(false).stdout, b"PONG\n");
    assert_eq!(ping(true).stdout, b"PONG\n");
}

/// Processes that this program was started as, in whatever role.
fn instances_of(program: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|process| fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == program))
        .count()
}

/// Whatever a store names is there and whole.
fn assert_intact(store: &Path) {
    let mut seen = 0;
    for kind in ["steps", "images"] {
        for record in fs::read_dir(store.join(kind)).unwrap() {
            let text = fs::read(record.unwrap().path()).unwrap();
            // What follows the line is what the step wrote.
            let line = text.split(|byte| *byte == b'\n').next().unwrap();
            let record: serde_json::Value = serde_json::from_slice(line).unwrap();
            for layer in record["layers"].as_array().unwrap() {
                assert!(store.join("l").join(layer.as_str().unwrap()).is_dir(), "{layer} is missing");
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn sigkill_at_30_moments_leaves_nothing_after_ten_seconds_and_a_cache_to_trust() {
    if !bowline_tests::on_docker("without a daemon it is nothing after two, at 200 moments") {
        return;
    }
    bowline_tests::kills::killed_at_moments(Path::new(env!("CARGO_BIN_EXE_pipeline")), 30);
}

#[test]
fn sigkill_at_200_moments_leaves_nothing_after_two_seconds() {
    if !bowline_tests::on_native("a watchdog finds what is left in a daemon, within ten seconds") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (program, store) = (directory.path().join("pipeline"), directory.path().join("store"));
    // A name of its own tells its processes from those of other tests.
    fs::copy(env!("CARGO_BIN_EXE_pipeline"), &program).unwrap();
    let ping = || {
        let mut command = Command::new(&program);
        command.arg("ping").env("BOWLINE_HOME", &store).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // The images are there, and how long it takes is known.
    assert_eq!(ping().output().unwrap().stdout, b"PONG\n");
    let began = Instant::now();
    assert_eq!(ping().output().unwrap().stdout, b"PONG\n");
    let whole = began.elapsed();
    let mut most = 0;
    for number in 0..200_u64 {
        let moment = RandomState::new().hash_one(number) % u64::try_from(whole.as_micros()).unwrap();
        let mut child = ping().spawn().unwrap();
        std::thread::sleep(Duration::from_micros(moment));
        most = most.max(instances_of(&program));
        child.kill().unwrap();
        child.wait().unwrap();
        if number % 20 == 19 {
            let nothing_runs = || instances_of(&program) == 0;
            eventually("nothing runs", Duration::from_secs(2), nothing_runs);
            // Who dies before there is anybody to notice leaves a directory, which the next one removes.
            assert_eq!(ping().output().unwrap().stdout, b"PONG\n");
            let made = || fs::read_dir(store.join("scratch")).unwrap().count();
            eventually("nothing is in the making", Duration::from_secs(2), || made() == 0);
        }
    }
    assert!(most > 3, "a keeper, a host and containers were seen");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(store.to_str().unwrap()), "{mounts}");
    assert_intact(&store);
    assert_eq!(ping().output().unwrap().stdout, b"PONG\n");
}
