//! Pipelines on a Docker engine, killed at random moments.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{docker, eventually, nonce};

/// What a killed pipeline leaves is gone after this long.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How many are killed before it is looked what is left: more, and what the later ones make sweeps what the earlier left.
const AT_ONCE: usize = 5;

/// What is printed by a pipeline that has all the time it wants.
const PIPELINES: [(&str, &str); 2] = [("ping", "PONG\n"), ("counted", "20000\n19999\n19998\n20000 /in\n")];

/// Containers and networks that processes of these numbers made.
fn made_by(pids: &[u32]) -> Vec<String> {
    let format = r#"{{.Label "bowline.owner"}} {{.Names}} {{.State}}"#;
    let containers = docker(&["ps", "--all", "--filter", "label=bowline.owner", "--format", format]);
    let format = r#"{{.Label "bowline.owner"}} network {{.Name}}"#;
    let networks = docker(&["network", "ls", "--filter", "label=bowline.owner", "--format", format]);
    let all = containers.lines().chain(networks.lines());
    let is_theirs = |line: &&str| {
        let pid = line.split('/').nth(1).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: u32| pids.contains(&pid))
    };
    all.filter(is_theirs).map(str::to_owned).collect()
}

/// Kills pipelines of a program at so many random moments of their lives. Of each nothing is left after ten seconds,
/// before another session could have swept; the next ones work, with whatever was kept of those.
///
/// # Panics
/// When it is not so.
pub fn killed_at_moments(program: &Path, moments: usize) {
    let run = |mode: &str, key: &str| {
        let mut command = Command::new(program);
        command.arg(mode).env("KEY", key).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let works = |key: &str| {
        for (mode, expected) in PIPELINES {
            let output = run(mode, key).output().expect("it can be run");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                expected,
                "{mode}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    };
    // The images are there, and how long one takes is known.
    works(&nonce());
    let took = PIPELINES.map(|(mode, _)| {
        let began = Instant::now();
        let _ = run(mode, &nonce()).output().expect("it can be run");
        began.elapsed()
    });
    let (mut seen, mut round) = (0, 0);
    while round < moments {
        let (key, mut pids) = (nonce(), Vec::new());
        for _ in 0..AT_ONCE.min(moments - round) {
            let (number, moment) = (round % PIPELINES.len(), RandomState::new().hash_one(round));
            let whole = u64::try_from(took[number].as_micros()).unwrap_or(u64::MAX);
            let mut child = run(PIPELINES[number].0, &key).spawn().expect("it can be run");
            std::thread::sleep(Duration::from_micros(moment % whole));
            child.kill().expect("it can be killed");
            let _ = child.wait().expect("it has ended");
            pids.push(child.id());
            round += 1;
        }
        seen += made_by(&pids).len();
        eventually("nothing is left of them", GONE_WITHIN, || made_by(&pids).is_empty());
        works(&key);
    }
    assert!(seen > 0, "some of them had made something when they were killed");
}
