//! One more client of a service that runs, with the engine's bare API.

use bollard::models::{ContainerCreateBody, HostConfig};

use crate::raw::{IMAGE, Raw, on_runtime};
use crate::{Result, Run, say, say_result};

/// The client is on the service's network.
pub(crate) fn own_network(run: &Run) -> Result<()> {
    with_service(run, |raw, _| raw.client())
}

/// The client is in the service's network namespace.
pub(crate) fn shared_namespace(run: &Run) -> Result<()> {
    with_service(run, |_, service| ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        entrypoint: Some(["redis-cli", "-h", "127.0.0.1", "ping"].map(str::to_owned).to_vec()),
        attach_stdout: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(format!("container:{service}")),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn with_service(run: &Run, client: impl Fn(&Raw, &str) -> ContainerCreateBody) -> Result<()> {
    on_runtime(async {
        let raw = Raw::connect(run)?;
        raw.create_network().await?;
        let service = raw.create("service", raw.service()).await?;
        raw.start(&service).await?;
        raw.wait_until_ready(&service).await?;
        let first = raw.create("first", raw.client()).await?;
        raw.run_to_end(&first).await?;
        raw.remove(&first).await?;

        say("begin");
        let second = raw.create("second", client(&raw, &service)).await?;
        say_result(&raw.run_to_end(&second).await?)?;

        tokio::try_join!(raw.remove(&second), raw.remove(&service))?;
        raw.remove_network().await
    })
}
