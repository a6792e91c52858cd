//! Containers of ours: created with everything said, so that nothing is taken from the image.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::cleaner::Container;
use super::facts::Facts;
use super::failure;
use super::recipe::{Created, First, NetworkScope, Recipe, Stdin};
use super::{Shared, labels, mount, names, place, room, ulimits};
use crate::Result;
use crate::arguments;
use crate::engine::{Link, Process};
use crate::model::Grant;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    NetworkingConfig,
};

/// Makes a container and fills it.
pub(super) async fn create(shared: &Arc<Shared>, recipe: Recipe<'_>) -> Result<Created> {
    let what = format!("create a container for {}", recipe.name);
    shared.check_open(&what)?;
    let network = async {
        match recipe.scope {
            NetworkScope::World => Ok(None),
            NetworkScope::Services => shared.network.name(shared).await.map(Some),
        }
    };
    let (network, (base, placements), mounts, ()) = tokio::try_join!(
        network,
        // Boxed, as what bollard makes of a call takes kilobytes.
        Box::pin(room::base_image(shared, recipe.filesystem)),
        Box::pin(mount::mounts(shared, &recipe)),
        async {
            shared.guarded().await;
            Ok(())
        },
    )?;
    let body = body(shared, &recipe, network.as_deref(), &base, mounts);
    let variables = body.env.iter().flatten().map(|text| variable_name(text).to_owned()).collect();

    let container = Container::new(&shared.cleaner, recipe.container);
    let for_task = what.clone();
    let owned = Arc::clone(shared);
    let create = async move {
        // Once more, now that closing waits for this: from here on it is either seen or not done.
        owned.check_open(&for_task)?;
        container.create(body).await.map_err(failure::during(for_task))
    };
    let container = shared.cleaner.to_its_end(&what, create).await?;
    Box::pin(place::place(shared, &container, recipe.name, &placements)).await?;
    Ok(Created { container, variables })
}

fn body(
    shared: &Shared,
    recipe: &Recipe<'_>,
    network: Option<&str>,
    base: &Facts,
    mounts: Vec<Mount>,
) -> ContainerCreateBody {
    let none = Process::default();
    let process = recipe.process.unwrap_or(&none);
    let limits = &process.limits;
    let has_stdin = recipe.stdin != Stdin::Empty;
    let mut labels_of: HashMap<_, _> = process.labels.iter().cloned().collect();
    labels_of.extend(labels::of(&shared.session, recipe.name));
    labels_of.insert(labels::KIND.to_owned(), recipe.kind.to_owned());
    // A step's image hands its labels down; these are long, or say nothing of this container.
    let others = [labels::STDOUT, labels::STDERR, labels::MADE_OF, labels::RUN];
    labels_of.extend(others.map(|label| (label.to_owned(), String::new())));
    if let Some(run) = recipe.run {
        labels_of.insert(labels::RUN.to_owned(), run.as_str().to_owned());
    }
    ContainerCreateBody {
        image: Some(base.id.clone()),
        hostname: Some(process.hostname.as_deref().unwrap_or(recipe.hostname).to_owned()),
        // As the entry point, not as the command: that leaves no room for the image's own of either (moby,
        // `daemon/commit.go`, `merge`).
        entrypoint: Some(if process.args.is_empty() {
            vec!["bowline".to_owned()]
        } else {
            process.args.clone()
        }),
        cmd: Some(Vec::new()),
        env: Some(environment(process, &base.env)),
        user: Some(if process.user.is_empty() { "0".to_owned() } else { process.user.clone() }),
        working_dir: Some(if process.workdir.is_empty() { "/".to_owned() } else { process.workdir.clone() }),
        attach_stdin: Some(has_stdin),
        open_stdin: Some(has_stdin),
        stdin_once: Some(has_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(recipe.stdin == Stdin::Terminal),
        // Health is the session's business; the engine's checks would go on as long as the service lives.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        labels: Some(labels_of),
        host_config: Some(HostConfig {
            init: Some(recipe.first == First::Init && shared.connection.has_init()),
            // What ours says is nothing for a log.
            log_config: (recipe.first == First::Own)
                .then(|| HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            mounts: Some(mounts),
            privileged: Some(process.security.privileged),
            nano_cpus: limits.cpu.map(nanos),
            memory: limits.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            // No more by swapping.
            memory_swap: limits.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            pids_limit: limits.pids.map(i64::from),
            ulimits: ulimits::of(limits),
            cap_add: Some(capabilities(process, Grant::Added)),
            cap_drop: Some(capabilities(process, Grant::Dropped)),
            sysctls: Some(process.security.sysctls.clone().into_iter().collect()),
            shm_size: limits.shm.and_then(|bytes| i64::try_from(bytes).ok()),
            network_mode: network.map(str::to_owned),
            ..Default::default()
        }),
        networking_config: network.map(|network| links(shared, network, recipe.links)),
        ..Default::default()
    }
}

/// The engine takes `ALL` first, whichever it is (moby, `oci/caps`): so of both lists the order says nothing.
fn capabilities(process: &Process, wanted: Grant) -> Vec<String> {
    let capabilities = &process.security.capabilities;
    let all = (capabilities.all == Some(wanted)).then(|| arguments::ALL_CAPABILITIES.to_owned());
    all.into_iter().chain(capabilities.names(wanted).cloned()).collect()
}

/// The process's variables, and the others that its image or container has, by name alone: a variable without `=` is unset
/// (moby, `container.ReplaceOrAppendEnvVars`) and keeps the image's from being merged in.
pub(super) fn environment(process: &Process, known: &[String]) -> Vec<String> {
    let set = process.env.iter().chain(&process.secret_env);
    let mut environment: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    let unset: Vec<_> = known
        .iter()
        .filter(|name| !environment.iter().any(|variable| variable_name(variable) == name.as_str()))
        .cloned()
        .collect();
    environment.extend(unset);
    environment
}

pub(super) fn variable_name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// The endpoint in the session's network. Links of an endpoint are names for this container alone: the engine's own
/// resolver answers them, they win over names that others have, and follow a service that is started anew. It tells upper
/// from lower case, which nobody expects of a host name: so each is said in both.
fn links(shared: &Shared, network: &str, links: &[Link]) -> NetworkingConfig {
    let links = links.iter().flat_map(|link| {
        let container = names::service(&shared.session, &link.instance);
        let names = link.names.iter();
        let cases =
            names.flat_map(|name| [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()]);
        let names: BTreeSet<String> = cases.collect();
        names.into_iter().map(move |name| format!("{container}:{name}")).collect::<Vec<_>>()
    });
    let endpoint = EndpointSettings { links: Some(links.collect()), ..Default::default() };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])) }
}

/// Processors in the engine's unit, billionths.
fn nanos(processors: f64) -> i64 {
    let time = Duration::try_from_secs_f64(processors).unwrap_or(Duration::MAX);
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
