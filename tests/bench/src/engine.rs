//! The engine as the benchmark itself sees it: connected to, looked into, cleared up, described.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bollard::models::ImageSummary;
use bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptions,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{ClientVersion, Docker};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::methods::Tool;

/// The oldest API bowline speaks; asking the engine for a newer one would cost every raw way 8 ms.
const VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// A connection to the engine on this machine. Others are of no use here: raw ways reach containers by their address.
pub(crate) fn connect() -> Result<Docker> {
    let address = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    if !address.starts_with("unix://") {
        return Err(format!("the benchmark needs an engine on this machine, not {address}").into());
    }
    Ok(Docker::connect_with_unix(&address, 600, &VERSION)?)
}

/// The benchmark's own look at the engine.
pub(crate) struct Engine {
    docker: Docker,
}

/// A container or a network.
enum Object {
    Container(String),
    Network(String),
}

impl Engine {
    pub(crate) fn connect() -> Result<Self> {
        Ok(Self { docker: connect()? })
    }

    /// What is there of somebody: everything that carries one of these words in its name or as a label.
    async fn owned(&self, words: &[String]) -> Result<Vec<Object>> {
        let is_owned = |text: &str| words.iter().any(|word| text.contains(word.as_str()));
        let any = |labels: &Option<HashMap<String, String>>| {
            labels.iter().flatten().any(|(_, value)| is_owned(value))
        };
        let all = ListContainersOptionsBuilder::default().all(true).build();
        let (containers, networks) = tokio::try_join!(
            self.docker.list_containers(Some(all)),
            self.docker.list_networks(None::<ListNetworksOptions>),
        )?;
        let containers = containers
            .into_iter()
            .filter(|found| any(&found.labels) || found.names.iter().flatten().any(|name| is_owned(name)))
            .filter_map(|found| found.id.map(Object::Container));
        let networks = networks
            .into_iter()
            .filter(|found| any(&found.labels) || found.name.as_deref().is_some_and(is_owned))
            .filter_map(|found| found.id.map(Object::Network));
        Ok(containers.chain(networks).collect())
    }

    /// When nothing was left of somebody, at the soonest now; none after half a minute.
    pub(crate) async fn gone(&self, words: &[String], since: SystemTime) -> Result<Option<Instant>> {
        let give_up = Instant::now() + Duration::from_secs(30);
        while Instant::now() < give_up {
            if self.owned(words).await?.is_empty() && self.networks_are_gone(words, since).await? {
                return Ok(Some(Instant::now()));
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(None)
    }

    /// Whether every network that somebody made has been removed to its end. One that is being removed is not listed
    /// any more, for the 0.2 s in which its bridge and its firewall rules go; only the events tell.
    async fn networks_are_gone(&self, words: &[String], since: SystemTime) -> Result<bool> {
        let seconds = |time: SystemTime| {
            let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
        };
        let networks = HashMap::from([("type", vec!["network"])]);
        let (since, until) = (seconds(since), seconds(SystemTime::now()));
        let options = EventsOptionsBuilder::default().since(&since).until(&until).filters(&networks).build();
        let mut events = self.docker.events(Some(options));
        let mut there = HashSet::new();
        while let Some(event) = events.next().await {
            let event = event?;
            let Some(actor) = event.actor else { continue };
            let name =
                actor.attributes.and_then(|attributes| attributes.get("name").cloned()).unwrap_or_default();
            match event.action.as_deref() {
                Some("create") if words.iter().any(|word| name.contains(word.as_str())) => {
                    there.insert(actor.id)
                }
                Some("destroy") => there.remove(&actor.id),
                _ => false,
            };
        }
        Ok(there.is_empty())
    }

    /// Removes whatever is left of somebody, containers first.
    pub(crate) async fn remove(&self, words: &[String]) -> Result<()> {
        for object in self.owned(words).await? {
            // What is on its way out already is seen when we look again.
            let _ = match object {
                Object::Container(id) => {
                    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                    self.docker.remove_container(&id, Some(options)).await
                }
                Object::Network(id) => self.docker.remove_network(&id).await,
            };
        }
        self.gone(words, SystemTime::now())
            .await?
            .map(drop)
            .ok_or_else(|| "something cannot be removed from the engine".into())
    }

    /// Removes the images that somebody made. Each pass takes names, and the images that no other one stands on.
    pub(crate) async fn remove_images(&self, words: &[String]) -> Result<()> {
        let is_owned = |image: &ImageSummary| {
            image.labels.values().any(|value| words.iter().any(|word| value.contains(word.as_str())))
        };
        for _ in 0..100 {
            let all = ListImagesOptionsBuilder::default().all(true).build();
            let mut images = self.docker.list_images(Some(all)).await?;
            images.retain(is_owned);
            if images.is_empty() {
                return Ok(());
            }
            images.sort_by_key(|image| std::cmp::Reverse(image.created));
            for image in images {
                // Older engines say `<none>:<none>`.
                let name = image.repo_tags.iter().find(|name| !name.starts_with('<')).unwrap_or(&image.id);
                let options = RemoveImageOptionsBuilder::default().build();
                let _ = self.docker.remove_image(name, Some(options), None).await;
            }
        }
        Err("images of the benchmark cannot be removed from the engine".into())
    }

    pub(crate) async fn facts(&self) -> Result<Facts> {
        let (info, version) = (self.docker.info().await?, self.docker.version().await?);
        let mut peers = vec![format!("testcontainers-rs {}", locked("testcontainers"))];
        peers.push(format!("bollard {}", locked("bollard")));
        for tool in [Tool::Docker, Tool::DockerCompose, Tool::ComposePlugin] {
            let name = tool.version_command().iter().take_while(|word| !word.contains("ersion")).copied();
            let name = name.collect::<Vec<_>>().join(" ");
            peers.push(match tool_version(tool) {
                Some(version) => format!("{name} {version}"),
                None => format!("{name}: not installed"),
            });
        }
        Ok(Facts {
            machine: format!(
                "{} cores ({}), {} GiB, Linux {}, {}",
                info.ncpu.unwrap_or_default(),
                processor(),
                info.mem_total.unwrap_or_default() >> 30,
                info.kernel_version.unwrap_or_default(),
                info.operating_system.unwrap_or_default(),
            ),
            engine: format!(
                "Docker Engine {} (API {}, oldest client {}), storage driver {}, cgroups v{}",
                info.server_version.unwrap_or_default(),
                version.api_version.unwrap_or_default(),
                version.min_api_version.unwrap_or_default(),
                info.driver.unwrap_or_default(),
                info.cgroup_version.map_or_else(String::new, |version| version.to_string()),
            ),
            peers: peers.join(", "),
            load: load(),
        })
    }
}

/// What the numbers depend on besides the methods.
pub(crate) struct Facts {
    machine: String,
    engine: String,
    peers: String,
    pub(crate) load: String,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine: {}\nengine: {}\npeers: {}", self.machine, self.engine, self.peers)
    }
}

/// A tool's version; none when it is not installed.
pub(crate) fn tool_version(tool: Tool) -> Option<String> {
    let (program, arguments) = tool.version_command().split_first()?;
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    Some(line.trim_start_matches("Docker version ").split(',').next()?.to_owned())
}

/// The version of a crate that this program was built with.
fn locked(name: &str) -> &'static str {
    let mut lines = include_str!("../Cargo.lock").lines();
    let wanted = format!("name = \"{name}\"");
    lines.find(|line| *line == wanted);
    lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("?")
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name"));
    name.and_then(|line| line.split_once(": ")).map_or("?", |(_, name)| name).to_owned()
}

/// How many processes wanted a core in the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
