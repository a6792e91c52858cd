//! The engine's bare API, spoken as well as is known: what any tool on top of it could reach at best.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest,
    NetworkingConfig,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, CreateContainerOptionsBuilder,
    EventsOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::{Result, Run, say_result};

/// The label of everything that the raw ways and the scripts make; its value is the run's name.
pub(crate) const LABEL: &str = "bowline-bench.run";
pub(crate) const PING: [&str; 4] = ["redis-cli", "-h", "redis-srv", "ping"];
const PORT: u16 = 6379;

/// Runs a way on the lightest runtime there is.
pub(crate) fn on_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Network, service and client one after another.
pub(crate) fn sequential(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        raw.create_network().await?;
        let service = raw.create("service", raw.service()).await?;
        raw.start(&service).await?;
        raw.wait_until_ready(&service).await?;
        let client = raw.create("client", raw.client()).await?;
        say_result(&raw.run_to_end(&client).await?)?;
        raw.remove(&client).await?;
        raw.remove(&service).await?;
        raw.remove_network().await
    })
}

/// The network and both containers are created at once: only starting needs the network to be there.
pub(crate) fn concurrent(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let ((), service, client) = tokio::try_join!(
            raw.create_network(),
            raw.create("service", raw.service()),
            raw.create("client", raw.client()),
        )?;
        raw.start(&service).await?;
        raw.wait_until_ready(&service).await?;
        say_result(&raw.run_to_end(&client).await?)?;
        tokio::try_join!(raw.remove(&client), raw.remove(&service))?;
        raw.remove_network().await
    })
}

/// As [`concurrent`], and the client's end is heard from the engine's events: the engine tells them before it takes
/// the container's network apart, and those who wait only afterwards.
pub(crate) fn by_events(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let ((), service, client) = tokio::try_join!(
            raw.create_network(),
            raw.create("service", raw.service()),
            raw.create("client", raw.client()),
        )?;
        raw.start(&service).await?;
        raw.wait_until_ready(&service).await?;
        let filters = HashMap::from([("container", vec![client.as_str()]), ("event", vec!["die"])]);
        let mut events = raw.docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build()));
        let ended = tokio::spawn(async move { events.next().await });
        let output = raw.output(&client).await?;
        let attributes = ended.await?.ok_or("no event came")??.actor.and_then(|actor| actor.attributes);
        if attributes.and_then(|attributes| attributes.get("exitCode").cloned()).as_deref() != Some("0") {
            return Err(format!("the client failed: {output}").into());
        }
        say_result(&output)?;
        tokio::try_join!(raw.remove(&client), raw.remove(&service))?;
        raw.remove_network().await
    })
}

/// No network of its own: the engine's default bridge, and its old links for the alias.
pub(crate) fn default_bridge(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let service = raw
            .create("service", ContainerCreateBody { image: Some(IMAGE.to_owned()), ..Default::default() })
            .await?;
        let link = HostConfig { links: Some(vec![format!("{service}:redis-srv")]), ..Default::default() };
        let client = raw.ping(Some(link), None);
        let (client, ready) = tokio::join!(raw.create("client", client), async {
            raw.start(&service).await?;
            raw.wait_until_ready(&service).await
        });
        ready?;
        let client = client?;
        say_result(&raw.run_to_end(&client).await?)?;
        tokio::try_join!(raw.remove(&client), raw.remove(&service))?;
        Ok(())
    })
}

/// As [`concurrent`], with what bowline gives besides.
pub(crate) fn all_promises(run: &Run) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        let with_init = |mut body: ContainerCreateBody| {
            if let Some(host) = &mut body.host_config {
                host.init = Some(true);
            }
            body
        };
        let alias = EndpointSettings {
            links: Some(vec![format!("{}-service:redis-srv", run.id)]),
            ..Default::default()
        };
        let client = with_init(raw.ping(Some(raw.in_network()), Some(alias)));
        let ((), service, client) = tokio::try_join!(
            raw.create_network(),
            raw.create("service", with_init(raw.service())),
            raw.create("client", client),
        )?;
        raw.start(&service).await?;
        raw.wait_until_ready(&service).await?;
        say_result(&raw.run_to_end(&client).await?)?;
        let keep = async {
            raw.commit(&client).await?;
            raw.remove(&client).await
        };
        let stop = async {
            let term = KillContainerOptionsBuilder::default().signal("SIGTERM").build();
            raw.docker.kill_container(&service, Some(term)).await?;
            raw.wait(&service).await?;
            raw.remove(&service).await
        };
        tokio::try_join!(keep, stop)?;
        raw.remove_network().await
    })
}

/// A connection, and the run that everything is made for.
pub(crate) struct Raw {
    pub(crate) docker: Docker,
    run: Run,
}

/// The image of service and client.
pub(crate) const IMAGE: &str = "redis:7";

impl Raw {
    pub(crate) fn connect(run: &Run) -> Result<Self> {
        Ok(Self { docker: crate::engine::connect()?, run: run.clone() })
    }

    pub(crate) async fn create_network(&self) -> Result<()> {
        let labels = HashMap::from([(LABEL.to_owned(), self.run.id.clone())]);
        let network =
            NetworkCreateRequest { name: self.run.id.clone(), labels: Some(labels), ..Default::default() };
        self.docker.create_network(network).await?;
        Ok(())
    }

    pub(crate) async fn remove_network(&self) -> Result<()> {
        Ok(self.docker.remove_network(&self.run.id).await?)
    }

    fn in_network(&self) -> HostConfig {
        HostConfig { network_mode: Some(self.run.id.clone()), ..Default::default() }
    }

    /// Redis, known in the run's network as `redis-srv`.
    pub(crate) fn service(&self) -> ContainerCreateBody {
        let endpoint = EndpointSettings { aliases: Some(vec!["redis-srv".to_owned()]), ..Default::default() };
        ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            host_config: Some(self.in_network()),
            networking_config: Some(self.endpoint(endpoint)),
            ..Default::default()
        }
    }

    /// The client, in the run's network.
    pub(crate) fn client(&self) -> ContainerCreateBody {
        self.ping(Some(self.in_network()), None)
    }

    fn ping(
        &self,
        host_config: Option<HostConfig>,
        endpoint: Option<EndpointSettings>,
    ) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            entrypoint: Some(PING.map(str::to_owned).to_vec()),
            attach_stdout: Some(true),
            host_config,
            networking_config: endpoint.map(|endpoint| self.endpoint(endpoint)),
            ..Default::default()
        }
    }

    fn endpoint(&self, endpoint: EndpointSettings) -> NetworkingConfig {
        NetworkingConfig { endpoints_config: Some(HashMap::from([(self.run.id.clone(), endpoint)])) }
    }

    /// Creates a container and gives its name.
    pub(crate) async fn create(&self, name: &str, mut body: ContainerCreateBody) -> Result<String> {
        let name = format!("{}-{name}", self.run.id);
        body.labels = Some(HashMap::from([(LABEL.to_owned(), self.run.id.clone())]));
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.docker.create_container(Some(options), body).await?;
        Ok(name)
    }

    pub(crate) async fn start(&self, container: &str) -> Result<()> {
        Ok(self.docker.start_container(container, None).await?)
    }

    /// Connects to the container's own address, over and over. A first connect has been seen to hang for up to a
    /// second, so none is waited for.
    pub(crate) async fn wait_until_ready(&self, container: &str) -> Result<()> {
        let found = self.docker.inspect_container(container, None).await?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mut addresses = networks.into_values().filter_map(|endpoint| endpoint.ip_address);
        let address: IpAddr = addresses.next().ok_or("the service has no address")?.parse()?;
        let address = SocketAddr::new(address, PORT);
        for _ in 0..30_000 {
            if let Ok(Ok(_)) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err("redis did not get ready".into())
    }

    /// Starts a container and gives what it wrote, once it has ended well.
    pub(crate) async fn run_to_end(&self, container: &str) -> Result<String> {
        let output = self.output(container).await?;
        let code = self.wait(container).await?;
        if code == 0 { Ok(output) } else { Err(format!("exit code {code}: {output}").into()) }
    }

    /// Starts a container and gives all that it wrote.
    async fn output(&self, container: &str) -> Result<String> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let mut attached = self.docker.attach_container(container, Some(options)).await?;
        self.start(container).await?;
        let mut output = Vec::new();
        while let Some(piece) = attached.output.next().await {
            if let LogOutput::StdOut { message } | LogOutput::StdErr { message } = piece? {
                output.extend_from_slice(&message);
            }
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// The exit code of a container that has ended or will.
    pub(crate) async fn wait(&self, container: &str) -> Result<i64> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        match self.docker.wait_container(container, Some(options)).next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            // bollard makes an error of every code but 0.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(error.into()),
            None => Err("the engine closed the connection".into()),
        }
    }

    /// Keeps a container's file system as an image, and gives its id.
    pub(crate) async fn commit(&self, container: &str) -> Result<String> {
        let options = CommitContainerOptionsBuilder::default().container(container).pause(false).build();
        Ok(self.docker.commit_container(options, ContainerConfig::default()).await?.id)
    }

    pub(crate) async fn remove(&self, container: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        Ok(self.docker.remove_container(container, Some(options)).await?)
    }
}
