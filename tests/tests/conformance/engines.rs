//! Engines that are elsewhere: reached over TCP, with containers whose addresses this machine cannot reach.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bowline_tests::nonce;

/// A Docker engine in a network namespace of its own, with two images copied into it.
pub(crate) struct SecondEngine {
    directory: PathBuf,
    host: String,
}

impl SecondEngine {
    fn start(arguments: &[&str]) -> Self {
        Self::with(&["redis:7", "python:3.11", "busybox:1.35"], arguments)
    }

    /// One with these images alone.
    pub(crate) fn with(images: &[&str], arguments: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("bowline-engine-{}", nonce()));
        let mut command = script("start");
        command.arg(&directory).args(arguments);
        command.args(images.iter().flat_map(|image| ["--image", image]));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut engine = Self { directory, host: String::new() };
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let host = said.lines().find_map(|line| line.strip_prefix("DOCKER_HOST="));
        host.expect("it says where it is").clone_into(&mut engine.host);
        engine
    }

    /// Asks it by the Docker command line.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = Command::new("docker").args(["-H", &self.host]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a client sets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn run(&self, mode: &str, env: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.arg(mode).env("DOCKER_HOST", &self.host).envs(env.iter().copied());
        command.output().unwrap()
    }
}

impl SecondEngine {
    /// Kills the daemon; its containers live on.
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.directory.join("dockerd.pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
    }

    /// Starts it again.
    fn revive(&self) {
        let revived = script("revive").arg(&self.directory).output().unwrap();
        assert!(revived.status.success(), "{}", text(&revived.stderr));
    }

    /// Tunnels to its services, and host services for its containers, carry everything, and leave nothing. None of its
    /// containers' addresses is reached from here.
    fn reaches(&self, env: &[(&str, &str)]) {
        let output = self.run("reach", env);
        assert_eq!(text(&output.stdout), REACHED, "{}", text(&output.stderr));
        let list = |args: &[&str]| {
            let mut docker = Command::new("docker");
            docker.envs(env.iter().copied()).args(["-H", &self.host]).args(args);
            docker.args(["--quiet", "--filter", "label=bowline.session"]);
            let output = docker.output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        let nothing_left = || (list(&["ps", "--all"]) + &list(&["network", "ls"])).is_empty();
        bowline_tests::eventually("nothing is left", Duration::from_secs(10), nothing_left);
    }

    /// How many containers and networks of a session it has.
    fn left(&self, session: &str) -> usize {
        let label = format!("label=bowline.session={session}");
        let list =
            |args: &[&str]| self.docker(&[args, &["--quiet", "--filter", &label]].concat()).lines().count();
        list(&["ps", "--all"]) + list(&["network", "ls"])
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        let stopped = script("stop").arg(&self.directory).status();
        assert!(stopped.is_ok_and(|status| status.success()), "the second engine could not be stopped");
    }
}

#[bowline::test]
async fn the_doctor_says_what_each_engine_can_do() {
    let found = bowline::doctor().await.to_string();
    let lines: Vec<&str> = found.lines().collect();
    let (last, engines) = lines.split_last().unwrap();
    assert!(engines[0].starts_with("docker: ready, version ") && engines[0].contains(", linux/"), "{found}");
    assert!(engines[1].starts_with("native: "), "{found}");
    assert!(bowline_tests::inspector().is_well(&found), "{found}");
    let chosen = std::env::var("BOWLINE_ENGINE").unwrap_or_default();
    let wanted =
        if chosen.is_empty() { "docker".to_owned() } else { format!("{chosen}, as BOWLINE_ENGINE says") };
    assert_eq!(*last, format!("pipelines run on: {wanted}"));
}

fn script(action: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/setup/second-engine"));
    command.arg(action);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_engine_whose_containers_cannot_be_reached_is_probed_from_inside() {
    if !bowline_tests::on_docker("it is this machine's own") {
        return;
    }
    let engine = SecondEngine::start(&[]);
    let output = engine.run("ping", &[]);
    assert_eq!(text(&output.stdout), "PONG\n", "{}", text(&output.stderr));
    let output = engine.run("ways-to-be-ready", &[]);
    assert_eq!(
        text(&output.stdout),
        "late tcp\nudp\nhttp\n9999/tcp never opened\n",
        "{}",
        text(&output.stderr)
    );
    let session = engine.run("plain", &[]);
    assert!(text(&session.stdout).ends_with("\nweb"), "{}", text(&session.stderr));
    engine.reaches(&[]);
}

/// A pipeline whose engine is killed says so soon, and leaves nothing once the engine is back.
#[test]
fn an_engine_that_is_killed_is_named_within_five_seconds_and_is_tidied_when_it_is_back() {
    if !bowline_tests::on_docker("it is this machine's own") {
        return;
    }
    let engine = SecondEngine::start(&[]);
    // A step and a service run; then the same where the engine dies while a service is being waited for.
    for mode in ["owned", "plain-for-long", "never-ready"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.arg(mode).env("DOCKER_HOST", &engine.host);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let session = lines.next().unwrap().unwrap().strip_prefix("session ").unwrap().to_owned();
        assert_eq!(lines.next().unwrap().unwrap(), "running");
        assert!(engine.left(&session) >= 2, "{mode}: containers and a network");

        engine.kill();
        let began = Instant::now();
        let output = child.wait_with_output().unwrap();
        let took = began.elapsed();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{mode}: {said}");
        assert!(said.contains("the Docker engine does not answer any more"), "{mode}: {said}");
        assert!(took < Duration::from_secs(5), "{mode}: {took:?}");

        engine.revive();
        let nothing_left = || engine.left(&session) == 0;
        bowline_tests::eventually("nothing is left", Duration::from_secs(10), nothing_left);
    }
    assert_eq!(text(&engine.run("ping", &[]).stdout), "PONG\n");
}

#[test]
fn an_engine_behind_tls_asks_for_a_certificate() {
    if !bowline_tests::on_docker("it is this machine's own") {
        return;
    }
    let certificates = std::env::temp_dir().join(format!("bowline-certificates-{}", nonce()));
    let directory = certificates.to_str().unwrap();
    let engine = SecondEngine::start(&["--tls", directory]);
    let output = engine.run("ping", &[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", directory)]);
    assert_eq!(text(&output.stdout), "PONG\n", "{}", text(&output.stderr));
    let output = engine.run("ping", &[]);
    assert_eq!(output.status.code(), Some(1), "without a certificate");
    assert!(text(&output.stderr).contains("no container engine answers"), "{}", text(&output.stderr));
    let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", directory)];
    let output = engine.run("remote", &tls);
    assert_eq!(text(&output.stdout), REMOTE, "{}", text(&output.stderr));
    engine.reaches(&tls);
    std::fs::remove_dir_all(certificates).unwrap();
}

/// What the pipeline `remote` prints: what services and steps say, and what is in an exported directory.
const REMOTE: &str = "PONG\nstdin\n300000\nexported\n";

/// What the pipeline `reach` prints: what redis counts and gives back, what is sent back and reset, and what a container is
/// told by a server of the pipeline's own.
const REACHED: &str = "\
:10000
5242902 bytes, as they were sent
100 answers
connection reset
a datagram of Some(9000) bytes
100 answers
connection reset
a datagram of Some(9000) bytes
hello from the program
";

/// The `ssh` is one of the test's, which finds the engine by itself; all else is what the command line has.
#[test]
fn an_engine_behind_ssh_is_like_any_other() {
    use std::os::unix::fs::PermissionsExt as _;

    if !bowline_tests::on_docker("it is this machine's own") {
        return;
    }
    let engine = SecondEngine::start(&[]);
    let bin = tempfile::tempdir().unwrap();
    let ssh = bin.path().join("ssh");
    let script = include_str!("../../src/programs/ssh.sh");
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let env = [("DOCKER_HOST", "ssh://me@far:2222"), ("PATH", &path), ("ENGINE", engine.host())];
    let output = engine.run("remote", &env);
    assert_eq!(text(&output.stdout), REMOTE, "{}", text(&output.stderr));
    engine.reaches(&env);

    let output = engine.run("remote", &[("DOCKER_HOST", "ssh://near"), ("PATH", &path)]);
    let said = text(&output.stderr);
    assert!(said.contains("ssh://near (DOCKER_HOST): `ssh` ended: ssh: not known: "), "{said}");
}
