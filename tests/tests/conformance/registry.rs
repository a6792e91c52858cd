//! Images pulled from a real registry, with and without credentials, found where the docker command keeps them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bowline_tests::{docker, nonce};

const USER: &str = "bowline";
/// Three of one kind in a row, so that base64 has a `+` and a `/` wherever they stand: engines want neither.
const PASSWORD: &str = "secret:>>>???";

/// A registry with one image that the engine does not have, and a configuration directory of the docker command.
pub(crate) struct Registry {
    directory: PathBuf,
    pub(crate) address: String,
    pub(crate) image: String,
}

impl Registry {
    pub(crate) fn open() -> Self {
        Self::start("busybox:1.35", &[])
    }

    pub(crate) fn locked() -> Self {
        Self::start("busybox:1.35", &["--auth", &format!("{USER}:{PASSWORD}")])
    }

    pub(crate) fn start(local: &str, arguments: &[&str]) -> Self {
        let name = format!("bowline-test/{}:1", nonce());
        let directory = std::env::temp_dir().join(format!("bowline-registry-{}", nonce()));
        let mut command = script("start");
        command.arg(directory.join("registry")).args(["--image", &format!("{local}={name}")]).args(arguments);
        let output = command.output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let address = said.lines().find_map(|line| line.strip_prefix("REGISTRY="));
        let address = address.expect("it says where it is").to_owned();
        Self { directory, image: format!("{address}/{name}"), address }
    }

    pub(crate) fn write_config(&self, config: &str) {
        std::fs::write(self.directory.join("config.json"), config).unwrap();
    }

    /// Installed rather than written: a file is not run while somebody, or what they started meanwhile, writes it.
    fn write_helper(&self, program: &str) {
        self.write_config(&format!(r#"{{"credHelpers": {{"{}": "bowlinetest"}}}}"#, self.address));
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(self.directory.join("docker-credential-bowlinetest"));
        feed(&mut install, program);
    }

    pub(crate) fn log_in(&self) {
        let mut login = Command::new("docker");
        login.args(["login", &self.address, "--username", USER, "--password-stdin"]);
        feed(login.env("DOCKER_HOST", host()).env("DOCKER_CONFIG", &self.directory), PASSWORD);
    }

    fn run(&self, image: &str) -> Output {
        self.command(image).output().unwrap()
    }

    pub(crate) fn command(&self, image: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command
            .arg("run-image")
            .env("IMAGE", image)
            .env("DOCKER_HOST", host())
            .env("DOCKER_CONFIG", &self.directory)
            .env("PATH", format!("{}:{path}", self.directory.display()))
            .env("BOWLINE_PROGRESS", "log")
            .env_remove("DOCKER_AUTH_CONFIG");
        command
    }

    #[track_caller]
    fn runs(&self, image: &str) -> String {
        let output = self.run(image);
        assert_eq!(text(&output.stdout), "ran first\nran second\n", "{}", text(&output.stderr));
        text(&output.stderr)
    }

    #[track_caller]
    fn fails(&self, image: &str, says: &[&str]) {
        refuses(&self.run(image), says);
    }

    /// Of the docker command.
    pub(crate) fn config(&self) -> &std::path::Path {
        &self.directory
    }

    /// Where it keeps everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("registry/data")
    }

    /// How many blobs somebody has begun to send to it.
    pub(crate) fn uploads(&self) -> usize {
        let log = std::fs::read_to_string(self.directory.join("registry/log")).unwrap();
        log.lines().filter(|line| line.contains("\"POST /v2/")).count()
    }

    /// Everything the engine has of this registry.
    pub(crate) fn pulled(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}";
        let list = docker(&["images", "--digests", "--format", format]);
        let names = list.split_whitespace().filter(|name| name.starts_with(&format!("{}/", self.address)));
        names.filter(|name| !name.ends_with("<none>")).map(str::to_owned).collect()
    }

    /// The blobs that it sent, and how many bytes of each time.
    pub(crate) fn sent(&self) -> Vec<(String, u64)> {
        self.log_of_blobs(|digest, _, length| (digest.to_owned(), length.parse().unwrap()))
    }

    /// The blobs that it sent, and as what: `200` is from the start, `206` a part.
    fn answers(&self) -> Vec<(String, String)> {
        self.log_of_blobs(|digest, status, _| (digest.to_owned(), status.to_owned()))
    }

    fn log_of_blobs<T>(&self, of: impl Fn(&str, &str, &str) -> T) -> Vec<T> {
        let log = std::fs::read_to_string(self.directory.join("registry/log")).unwrap();
        let requests =
            log.lines().filter_map(|line| line.split_once("\"GET /v2/")?.1.split_once("/blobs/sha256:"));
        let sent = requests.filter_map(|(_, line)| {
            let mut words = line.split(' ');
            let (digest, status, length) = (words.next()?, words.nth(1)?, words.next()?);
            status.starts_with("20").then(|| of(digest, status, length))
        });
        sent.collect()
    }

    /// The file that it has a blob in.
    fn blob(&self, digest: &str) -> PathBuf {
        let blobs = self.directory.join("registry/data/docker/registry/v2/blobs/sha256");
        blobs.join(&digest[..2]).join(digest).join("data")
    }

    /// How often the engine has asked for an image since a time, where it tells.
    pub(crate) fn pulls(&self, since: SystemTime) -> Option<usize> {
        bowline_tests::inspector().pulls(&self.address, since)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for name in self.pulled() {
            let _ = Command::new("docker").args(["rmi", "--force", &name]).output();
        }
        let stopped = script("stop").arg(self.directory.join("registry")).status();
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(stopped.is_ok_and(|status| status.success()), "the registry could not be stopped");
            assert_eq!(self.pulled(), [""; 0], "left in the engine");
        }
    }
}

fn script(action: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/setup/registry"));
    command.arg(action);
    command
}

/// The engine's address, which a context may hold that another configuration directory does not have.
fn host() -> String {
    docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).trim().to_owned()
}

#[track_caller]
fn feed(command: &mut Command, input: &str) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Checks that a pipeline has failed, and what it says.
#[track_caller]
pub(crate) fn refuses(output: &Output, says: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let error = &stderr[stderr.find("Error: ").expect("it says why")..];
    for part in says {
        assert!(error.contains(part), "{part:?} is not in:\n{error}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A registry with an image that nobody else has: unlike a new name for a known one, it has to come over the wire.
fn with_new_layer(command: &str) -> Registry {
    let name = format!("bowline-test-{}", nonce());
    let _ = docker(&["run", "--name", &name, "busybox:1.35", "sh", "-c", command]);
    let _ = docker(&["commit", &name, &format!("{name}:1")]);
    let _ = docker(&["rm", &name]);
    let registry = Registry::start(&format!("{name}:1"), &[]);
    let _ = docker(&["rmi", &format!("{name}:1")]);
    assert_eq!(registry.pulled(), [""; 0], "absent at first");
    registry
}

/// A way to a registry that breaks, as often as is said, when so many bytes have come through.
fn breaking(to: &str, times: usize, after: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, to) = (listener.local_addr().unwrap(), to.to_owned());
    std::thread::spawn(move || {
        let left = Arc::new(AtomicUsize::new(times));
        for inwards in listener.incoming() {
            let (inwards, outwards) = (inwards.unwrap(), TcpStream::connect(&to).unwrap());
            let (mut from, mut there) = (inwards.try_clone().unwrap(), outwards.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut there));
            let left = Arc::clone(&left);
            std::thread::spawn(move || {
                let limit = if left.load(Ordering::SeqCst) > 0 { after } else { u64::MAX };
                let copied = std::io::copy(&mut (&outwards).take(limit), &mut &inwards).unwrap_or(0);
                if copied == limit {
                    left.fetch_sub(1, Ordering::SeqCst);
                }
                let _ = (inwards.shutdown(Shutdown::Both), outwards.shutdown(Shutdown::Both));
            });
        }
    });
    at
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    if !bowline_tests::on_native("a Docker engine pulls by itself") {
        return;
    }
    let registry = with_new_layer("head -c 8000000 /dev/urandom >/noise");
    let way = breaking(&registry.address, 3, 2_000_000);
    registry.runs(&registry.image.replace(&registry.address, &way.to_string()));
    let sent = registry.sent();
    assert!(sent.len() >= 5, "its configuration, and its layer four times: {sent:?}");
    // Not by their lengths: how much of what was on its way is counted depends on the buffers of sockets.
    let whole =
        registry.answers().into_iter().filter(|(_, status)| status == "200").map(|(digest, _)| digest);
    let whole: Vec<_> = whole.collect();
    let distinct: BTreeSet<_> = whole.iter().collect();
    assert_eq!(
        whole.len(),
        distinct.len(),
        "each blob was begun once, and the layer asked for in parts: {sent:?}"
    );
}

#[test]
fn what_a_registry_changed_is_refused() {
    if !bowline_tests::on_native("a Docker engine pulls by itself") {
        return;
    }
    let registry = with_new_layer("head -c 100000 /dev/urandom >/noise");
    registry.runs(&registry.image);
    let (layer, _) = registry.sent().into_iter().max_by_key(|(_, length)| *length).unwrap();
    let blob = registry.blob(&layer);
    let mut contents = std::fs::read(&blob).unwrap();
    contents[50_000] ^= 1;
    std::fs::write(&blob, contents).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut again = registry.command(&registry.image);
    let output = again.env("BOWLINE_HOME", home.path()).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains(&format!("the registry sent something else: sha256:{layer} is ")), "{said}");
    assert_eq!(std::fs::read_dir(home.path().join("scratch")).unwrap().count(), 0);
}

#[test]
fn a_mirror_is_asked_first() {
    if !bowline_tests::on_native("a Docker engine pulls by itself") {
        return;
    }
    let registry = with_new_layer("echo $HOSTNAME >/mine");
    let (_, name) = registry.image.split_once('/').unwrap();
    let run = |mirror: &str| {
        let mut command = registry.command(&format!("registry.invalid/{name}"));
        command.env("BOWLINE_REGISTRIES", format!("registry.invalid={mirror}")).output().unwrap()
    };
    let output = run("mirror");
    assert!(text(&output.stderr).contains("BOWLINE_REGISTRIES: `registry.invalid=mirror`"));
    let output = run(&format!("https://{}", registry.address));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("{} does not have", registry.address)), "it speaks no TLS: {said}");
    assert!(
        said.contains("Error: pull `registry.invalid/"),
        "and the registry itself was asked then: {said}"
    );
    let output = run(&format!("http://{}", registry.address));
    assert_eq!(text(&output.stdout), "ran first\nran second\n", "{}", text(&output.stderr));
}

#[test]
fn an_absent_image_is_pulled_once_for_all_who_wait_for_it() {
    let registry = with_new_layer("echo $HOSTNAME >/mine");
    let began = SystemTime::now();
    let progress = registry.runs(&registry.image);
    assert!(progress.contains(&format!("• pulling {}", registry.image)), "{progress}");
    assert!(registry.pulls(began).is_none_or(|pulls| pulls == 1));
    let sent = registry.sent();
    assert_eq!(sent.len(), 2, "its configuration and its layer, once each: {sent:?}");
    let progress = registry.runs(&registry.image);
    assert!(!progress.contains("pulling"), "it is there now: {progress}");
}

#[test]
fn an_image_is_pulled_by_its_digest() {
    let registry = Registry::open();
    let _ = docker(&["pull", "--quiet", &registry.image]);
    let names = registry.pulled();
    let digest = names.iter().find(|name| name.contains('@')).expect("it has a digest");
    let _ = docker(&["rmi", &registry.image]);
    assert_eq!(registry.pulled(), [""; 0], "absent at first");
    registry.runs(digest);
    assert_eq!(registry.pulled().contains(digest), bowline_tests::inspector().names_images());
}

#[test]
fn what_a_registry_does_not_have_is_not_found() {
    let registry = Registry::open();
    for image in
        [registry.image.replace(":1", ":none"), format!("{}/unauthorized/denied:1", registry.address)]
    {
        registry.fails(&image, &[&format!("image `{image}` was not found"), "manifest unknown"]);
    }
}

#[test]
fn a_registry_that_is_not_there_is_named_at_once() {
    let registry = Registry::open();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    registry.fails(&format!("{free}/a:1"), &[&format!("`{free}/a:1`"), "onnection refused"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_registry_refuses_without_credentials_and_with_wrong_ones() {
    let registry = Registry::locked();
    let refused = format!("not allowed to pull `{}`", registry.image);
    let none = "no credentials were sent: there is no Docker configuration file";
    registry.fails(&registry.image, &[&refused, none, "docker login"]);
    registry.write_config(r#"{"auths": {"elsewhere.test": {"auth": "YTpi"}}}"#);
    let none = format!("no credentials were sent: none for {} in ", registry.address);
    registry.fails(&registry.image, &[&refused, &none, "config.json", "docker login"]);
    registry.write_config(&format!(r#"{{"auths": {{"{}": {{"auth": "YTpi"}}}}}}"#, registry.address));
    registry.fails(&registry.image, &[&refused, "the credentials of `a`", "config.json", "docker login"]);
}

#[test]
fn whoever_has_logged_in_may_pull() {
    let registry = Registry::locked();
    registry.log_in();
    registry.runs(&registry.image);
}

#[test]
fn a_credential_helper_is_asked() {
    let registry = Registry::locked();
    registry.write_helper(&format!(
        r#"#!/bin/sh
[ "$1 $(cat)" = "get {}" ] && echo '{{"ServerURL": "", "Username": "{USER}", "Secret": "{PASSWORD}"}}'
"#,
        registry.address
    ));
    registry.runs(&registry.image);
}

#[test]
fn a_broken_credential_helper_is_heard() {
    let registry = Registry::locked();
    let refused = format!("not allowed to pull `{}`", registry.image);
    registry.write_helper("#!/bin/sh\necho the keyring is locked; exit 1\n");
    registry.fails(&registry.image, &[&refused, "`docker-credential-bowlinetest`: the keyring is locked"]);
    registry.write_config(r#"{"credsStore": "bowline-absent"}"#);
    registry.fails(&registry.image, &[&refused, "`docker-credential-bowline-absent`: No such file"]);
}
