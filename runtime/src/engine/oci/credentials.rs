//! Registry credentials, read from where the Docker command line stores them.
//!
//! The lookup is that of docker/cli (`cli/config/configfile`): a credential helper if one is configured for the registry
//! or for all of them, else the file. Unlike there, the file is also consulted if the helper has no credentials or fails.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use data_encoding::BASE64_NOPAD;
use serde::Deserialize;

use crate::regular::{self, DOCUMENT_AT_MOST};

/// The Docker command line's configuration directory: `DOCKER_CONFIG`, else `.docker` in the user's home.
pub(crate) fn config_dir() -> Option<PathBuf> {
    let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let said = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    said.or_else(|| home().map(|home| home.join(".docker")))
}

/// The credentials that a registry is shown.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// A token that the client exchanges for another one.
    pub(crate) identity_token: Option<String>,
    /// A token that is sent as it is.
    pub(crate) registry_token: Option<String>,
    /// The address of the registry.
    pub(crate) address: String,
}

/// Timeout of a credential helper: some ask the user.
const HELPER_WITHIN: Duration = Duration::from_secs(2 * 60);

const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The credentials for a registry, and a sentence about them, which is shown only if the registry refuses, since most
/// images need none.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) note: String,
}

/// Looks up the credentials for a canonical reference. Runs a credential helper if one is configured.
pub(crate) async fn find(reference: &str) -> Found {
    let registry = match reference.split('/').next() {
        Some("docker.io") | None => DOCKER_HUB.to_owned(),
        Some(host) => host.to_owned(),
    };
    tokio::task::spawn_blocking(move || look_up(&registry)).await.unwrap_or_default()
}

fn look_up(registry: &str) -> Found {
    let mut looked_in = Vec::new();
    let mut troubles = Vec::new();
    for (place, config) in configs() {
        let found = config.and_then(|text| Config::parse(&text)?.credentials(registry));
        match found {
            Ok(Some(credentials)) => {
                let user =
                    credentials.username.as_deref().map_or("a token".to_owned(), |name| format!("`{name}`"));
                let note = format!("it was shown the credentials of {user} for {registry}, from {place}");
                return Found { credentials: Some(credentials), note };
            }
            Ok(None) => looked_in.push(place),
            Err(trouble) => troubles.push(format!("{place}: {trouble}")),
        }
    }
    let note = match (troubles.as_slice(), looked_in.as_slice()) {
        ([], []) => "no credentials were sent: there is no Docker configuration file".to_owned(),
        ([], places) => format!("no credentials were sent: none for {registry} in {}", places.join(" or ")),
        (troubles, _) => format!("no credentials were sent, because of {}", troubles.join("\n")),
    };
    Found { credentials: None, note }
}

/// The configurations by where they come from: a variable that holds the whole file, as GitLab's runners have it, and the
/// command line's own file.
fn configs() -> Vec<(String, Result<Vec<u8>, String>)> {
    let mut configs = Vec::new();
    if let Some(text) = std::env::var("DOCKER_AUTH_CONFIG").ok().filter(|text| !text.trim().is_empty()) {
        configs.push(("DOCKER_AUTH_CONFIG".to_owned(), Ok(text.into_bytes())));
    }
    if let Some(path) = config_dir().map(|directory| directory.join("config.json")) {
        match regular::read(&path, DOCUMENT_AT_MOST) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            text => configs.push((path.display().to_string(), text.map_err(|error| error.to_string()))),
        }
    }
    configs
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    auths: Option<BTreeMap<String, Login>>,
    creds_store: Option<String>,
    cred_helpers: Option<HashMap<String, String>>,
}

/// The file's own entry for a registry: empty if a helper is in use, else user name and password.
#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Config {
    fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    fn credentials(&self, registry: &str) -> Result<Option<Credentials>, String> {
        let helper = self.cred_helpers.as_ref().and_then(|helpers| helpers.get(registry));
        let helper = helper.or(self.creds_store.as_ref()).filter(|name| !name.is_empty());
        let from_helper = helper.map_or(Ok(None), |name| ask_helper(name, registry));
        if let Ok(Some(_)) = from_helper {
            return from_helper;
        }
        let login = self.auths.as_ref().and_then(|auths| {
            let same_host =
                || auths.iter().find(|(key, _)| host(key) == host(registry)).map(|(_, login)| login);
            auths.get(registry).or_else(same_host)
        });
        match login.map_or(Ok(None), |login| login.credentials(registry)) {
            Ok(None) => from_helper,
            found => found,
        }
    }
}

impl Login {
    fn credentials(&self, registry: &str) -> Result<Option<Credentials>, String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (username, password) = match given(&self.auth) {
            Some(auth) => {
                let bytes = BASE64_NOPAD.decode(auth.trim_end_matches('=').as_bytes()).ok();
                let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                let (username, password) = text
                    .as_deref()
                    .and_then(|text| text.split_once(':'))
                    .ok_or_else(|| format!("`auth` of {registry} is not `user:password` in base64"))?;
                (Some(username.to_owned()), Some(password.trim_end_matches('\0').to_owned()))
            }
            None => (given(&self.username), given(&self.password)),
        };
        let credentials = Credentials {
            username,
            password,
            identity_token: given(&self.identitytoken),
            registry_token: given(&self.registrytoken),
            address: registry.to_owned(),
        };
        let any = [&credentials.username, &credentials.identity_token, &credentials.registry_token];
        Ok(any.iter().any(|text| text.is_some()).then_some(credentials))
    }
}

/// The host of a registry or of a key in the file, which may be a URL; Docker Hub has several.
fn host(registry: &str) -> &str {
    let registry =
        registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    match registry.split('/').next().unwrap_or_default() {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}

/// Runs a credential helper (docker/docker-credential-helpers): it reads the registry from standard input, and writes the
/// credentials, or the reason why there are none, to standard output.
fn ask_helper(name: &str, registry: &str) -> Result<Option<Credentials>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }

    let program = format!("docker-credential-{name}");
    let unusable = |reason: &dyn std::fmt::Display| format!("the credential helper `{program}`: {reason}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut helper = command.spawn().map_err(|error| unusable(&error))?;
    if let Some(mut input) = helper.stdin.take() {
        // A helper that exits without reading states its reason, which is handled below.
        let _ = input.write_all(registry.as_bytes());
    }
    let output = output_within(helper, HELPER_WITHIN).map_err(|error| unusable(&error))?;
    if !output.status.success() {
        let said =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        // Helpers print this for a registry without a login.
        if said[0].contains("credentials not found") {
            return Ok(None);
        }
        let said: Vec<&str> = said.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        return Err(match said.as_slice() {
            [] => unusable(&output.status),
            said => unusable(&said.join("\n")),
        });
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|error| unusable(&error))?;
    let mut credentials = Credentials { address: registry.to_owned(), ..Default::default() };
    if answer.username == "<token>" {
        credentials.identity_token = Some(answer.secret);
    } else {
        (credentials.username, credentials.password) = (Some(answer.username), Some(answer.secret));
    }
    Ok(Some(credentials))
}

/// The output of a process, which must end within a timeout.
fn output_within(mut process: Child, limit: Duration) -> io::Result<Output> {
    let (tell, hear) = mpsc::channel();
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    // Both streams at once, as either may fill up. A descendant that keeps them open after the process's end is not
    // waited for.
    for (number, stream) in [stdout.map(end_of), stderr.map(end_of)].into_iter().enumerate() {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send((number, stream.map_or(Ok(Vec::new()), |read| read()))));
    }
    let mut streams = [Vec::new(), Vec::new()];
    let end = Instant::now() + limit;
    for _ in 0..streams.len() {
        let Ok((number, text)) = hear.recv_timeout(end.saturating_duration_since(Instant::now())) else {
            let _ = process.kill();
            let _ = process.wait();
            let message = format!("it says nothing for {} s", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        };
        let text = text.inspect_err(|_| drop(process.kill()))?;
        streams[number] = text;
    }
    let [stdout, stderr] = streams;
    Ok(Output { status: process.wait()?, stdout, stderr })
}

/// Reads a whole stream, up to the size limit of documents.
fn end_of(stream: impl io::Read + Send + 'static) -> Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send> {
    Box::new(move || {
        let mut text = Vec::new();
        stream.take(DOCUMENT_AT_MOST).read_to_end(&mut text)?;
        Ok(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_helper_that_hangs_or_never_stops_is_given_up() {
        let run = |script: &str, limit| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
            output_within(command.spawn().unwrap(), limit)
        };
        let output = run("echo out; echo err >&2; exit 3", Duration::from_secs(30)).unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (b"out\n".as_slice(), b"err\n".as_slice())
        );
        assert_eq!(output.status.code(), Some(3));
        let start = Instant::now();
        let error = run("exec sleep 100", Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("says nothing"), "{error}");
        let output = run("exec cat /dev/zero", Duration::from_secs(30)).unwrap();
        assert_eq!(output.stdout.len() as u64, DOCUMENT_AT_MOST);
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    /// User and password, or the token, that a configuration has for a registry.
    fn found(config: &str, registry: &str) -> Result<Option<String>, String> {
        let found = Config::parse(config.as_bytes())?.credentials(registry)?;
        Ok(found.map(|found| match found.identity_token {
            Some(token) => token,
            None => [found.username, found.password].map(Option::unwrap_or_default).join(" "),
        }))
    }

    #[test]
    fn the_file_is_read_as_the_command_line_reads_it() {
        let config = r#"{"auths": {
            "r.test:5000": {"auth": "YTpiOmM="},
            "https://other.test/v2/": {"auth": "YTpiAA"},
            "plain.test": {"username": "a", "password": "b"},
            "token.test": {"auth": "YTo=", "identitytoken": "t"},
            "https://index.docker.io/v1/": {"auth": "aHViOng="},
            "elsewhere.test": {"auth": "", "username": null},
            "broken.test": {"auth": "?"}
        }, "credHelpers": {"r.test:5000": ""}, "HttpHeaders": {"A": "b"}}"#;
        let has = |registry| found(config, registry).unwrap();
        assert_eq!(has("r.test:5000").as_deref(), Some("a b:c"));
        assert_eq!(has("other.test").as_deref(), Some("a b"));
        assert_eq!(has("plain.test").as_deref(), Some("a b"));
        assert_eq!(has("token.test").as_deref(), Some("t"));
        assert_eq!(has(DOCKER_HUB).as_deref(), Some("hub x"));
        assert_eq!(has("r.test"), None);
        assert_eq!(has("elsewhere.test"), None);
        assert!(found(config, "broken.test").unwrap_err().contains("broken.test"));
        assert!(found("{", "r.test").is_err());
    }

    #[test]
    fn a_helper_that_is_not_there_is_named_unless_the_file_knows() {
        let config =
            r#"{"auths": {"a.test": {"auth": "YTpi"}, "b.test": {}}, "credsStore": "bowline-absent"}"#;
        assert_eq!(found(config, "a.test").unwrap().as_deref(), Some("a b"));
        assert!(found(config, "b.test").unwrap_err().contains("`docker-credential-bowline-absent`"));
    }
}
