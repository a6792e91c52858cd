//! What the docker command line shows of a session: the suite's second pair of eyes.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::inspector::Inspector;

pub(crate) const NAME: &str = "Docker";

/// The engine of the docker command line.
pub(crate) struct Docker;

/// Runs the docker command line.
///
/// # Panics
/// When it cannot be run or fails.
#[must_use]
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the docker command line can be run");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Docker {
    /// The container of a service, whether or not it has ended.
    fn find(&self, session: &str, hostname: &str) -> Option<String> {
        self.containers(session).into_iter().find(|name| name.ends_with(hostname))
    }
}

impl Inspector for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn containers(&self, session: &str) -> Vec<String> {
        sorted(&docker(&["ps", "-a", "--filter", &of(session), "--format", "{{.Names}}"]))
    }

    fn running(&self, session: &str) -> Vec<String> {
        let listed = sorted(&docker(&["ps", "--filter", &of(session), "--format", "{{.Names}}"]));
        // For a moment the list still has those that have just ended; asked for one, the engine answers once it knows.
        listed.into_iter().filter(|name| runs(name)).collect()
    }

    fn remains(&self, session: &str) -> Vec<String> {
        let networks = docker(&["network", "ls", "--filter", &of(session), "--format", "{{.Name}}"]);
        [self.containers(session), sorted(&networks), taken_networks(session)].concat()
    }

    fn address(&self, session: &str, hostname: &str) -> Option<String> {
        let container = self.find(session, hostname)?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        Some(docker(&["inspect", "--format", format, &container]).trim().to_owned())
    }

    fn touch(&self, session: &str, hostname: &str, path: &str) {
        let container = self.find(session, hostname).expect("it runs");
        let _ = docker(&["exec", &container, "touch", path]);
    }

    fn has(&self, session: &str, hostname: &str, path: &str) -> bool {
        let container = self.find(session, hostname).expect("it runs");
        let test = Command::new("docker").args(["exec", &container, "test", "-e", path]).status();
        test.is_ok_and(|status| status.success())
    }

    fn created_since(&self, session: &str, since: SystemTime) -> Option<usize> {
        let filters = ["type=container", "event=create", &of(session)];
        Some(events(since, SystemTime::now(), &filters).lines().count())
    }

    fn holding(&self, session: &str, text: &str) -> Vec<String> {
        let has_it = |container: &String| {
            docker(&["inspect", container]).contains(text) || occurrences("export", container, text) > 0
        };
        self.containers(session).into_iter().filter(has_it).collect()
    }

    fn kept(&self, stdout: &str, text: &str) -> usize {
        // What a step wrote is the one thing that is written on every image that is kept.
        let label = format!("label=bowline.stdout={}", base64(stdout));
        // With those that others are made of, which it does not list otherwise.
        let images = docker(&["image", "ls", "--all", "--quiet", "--no-trunc", "--filter", &label]);
        assert!(!images.is_empty(), "nothing is kept of a step that wrote {stdout:?}");
        // All layers, and the configuration with its history.
        images.lines().filter(|image| occurrences("save", image, text) > 0).count()
    }

    fn pulls(&self, registry: &str, since: SystemTime) -> Option<usize> {
        // It tells of them by whole seconds.
        let until = SystemTime::now() + Duration::from_secs(1);
        let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch(since).as_secs());
        let pulled = events(whole, until, &["event=pull"]);
        Some(pulled.lines().filter(|line| line.contains(registry)).count())
    }

    fn names_images(&self) -> bool {
        true
    }

    fn forget_loaded(&self) {
        for id in docker(&["images", "--quiet", "--filter", "reference=bowline/loaded"]).lines() {
            let _ = Command::new("docker").args(["rmi", "--force", id]).output();
        }
    }

    fn exported(&self) -> Vec<String> {
        sorted(&docker(&["images", "--quiet", "--filter", "reference=bowline/exported"]))
    }

    fn exports_layouts(&self) -> bool {
        false
    }

    fn sends_only_what_is_missing(&self) -> bool {
        false
    }

    fn may_forget_removals(&self) -> bool {
        // This driver does, when it commits a container.
        docker(&["info", "--format", "{{.Driver}}"]).trim() == "fuse-overlayfs"
    }

    fn ends_services(&self) -> bool {
        false
    }

    fn is_well(&self, diagnosis: &str) -> bool {
        diagnosis.lines().any(|line| line.starts_with("docker: ready, version "))
    }

    fn bare(&self, image: &str, _: &Path) -> Command {
        // Every byte goes through its daemon.
        let mut command = Command::new("docker");
        command.args(["run", "--rm", image]);
        command
    }

    fn lacks_time(&self) -> Option<&'static str> {
        let has_time = std::env::var_os("BOWLINE_TESTS_LONG").is_some();
        (!has_time).then_some("`tests/run --long` has the time for it")
    }

    fn lacks_limits(&self) -> Option<&'static str> {
        None
    }
}

/// The networks that a session has and that have not its label, as another may have them next: those that are noted to be
/// the session's and are there.
fn taken_networks(session: &str) -> Vec<String> {
    let engines = std::fs::read_dir(crate::native::store().join("engines")).into_iter().flatten().flatten();
    let used = engines.filter_map(|engine| std::fs::read_dir(engine.path().join("networks/used")).ok());
    let names = used.flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let of_session = names.filter_map(|name| {
        let mut parts = name.split('~');
        Some((parts.next()?.to_owned(), parts.next()?.to_owned())).filter(|(_, of)| of == session)
    });
    let exists = |network: &String| {
        let inspect = ["network", "inspect", "--format", "{{.Name}}", network];
        let output =
            Command::new("docker").args(inspect).output().expect("the docker command line can be run");
        output.status.success()
    };
    of_session.map(|(network, _)| network).filter(exists).collect()
}

/// Whether a container's process runs.
fn runs(container: &str) -> bool {
    let inspect = ["inspect", "--format", "{{.State.Running}}", container];
    // It may be gone.
    let output = Command::new("docker").args(inspect).output().expect("the docker command line can be run");
    output.stdout == b"true\n"
}

fn of(session: &str) -> String {
    format!("label=bowline.session={session}")
}

fn sorted(lines: &str) -> Vec<String> {
    let mut lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What the engine told of between two times, a line each.
fn events(since: SystemTime, until: SystemTime, filters: &[&str]) -> String {
    let [since, until] = [since, until].map(|time| {
        let time = since_epoch(time);
        format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
    });
    let filters: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
    docker(&[&["events", "--since", &since, "--until", &until], filters.as_slice()].concat())
}

/// The ids of the images of steps that wrote this.
#[must_use]
pub fn images_of(stdout: &str) -> Vec<String> {
    let label = format!("label=bowline.stdout={}", base64(stdout));
    let listed = docker(&["image", "ls", "--quiet", "--no-trunc", "--filter", &label]);
    listed.lines().map(str::to_owned).collect()
}

fn base64(text: &str) -> String {
    let encode = r#"printf %s "$0" | base64 --wrap=0"#;
    let output = Command::new("sh").args(["-ec", encode, text]).output().expect("there is a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How often a text is in what the command line writes of an image (`save`) or a container (`export`).
fn occurrences(command: &str, of: &str, text: &str) -> usize {
    let count = r#"docker "$0" "$1" | grep --text --only-matching --fixed-strings -- "$2" | wc -l"#;
    let output =
        Command::new("sh").args(["-ec", count, command, of, text]).output().expect("there is a shell");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}
