//! Configuration of a process: the image's, overridden by the pipeline's.

use std::env::VarError;
use std::sync::Arc;

use super::missing;
use super::scrub::Secrets;
use crate::engine::{Filesystem, Image, ImageConfig, MountSource, Process};
use crate::event::Span;
use crate::graph::{Config, ServiceNode, Var};
use crate::model::{TRACEPARENT, TRACESTATE};
use crate::value::{Secret, SecretSource};
use crate::{Error, Result};

/// The secrets that a process's streams must not show.
pub(super) fn secrets(process: Option<&Process>, filesystem: &Filesystem) -> Secrets {
    let variables = process.map(|process| process.secret_env.as_slice()).unwrap_or_default();
    let files = filesystem.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Secret(contents) => Some(&**contents),
        _ => None,
    });
    Secrets::new(variables.iter().map(|(_, contents)| contents.as_bytes()).chain(files))
}

/// The process of a step: its command, in the image's environment. The image's entry point is not used.
pub(super) fn of_step(
    name: &str,
    args: &[String],
    config: &Config,
    image: Option<&Image>,
) -> Result<Process> {
    complete(name, args.to_vec(), config, image)
}

/// The process of a service: its `run` in place of the image's command, after the image's entry point.
pub(super) fn of_service(service: &ServiceNode, image: Option<&Image>) -> Result<Process> {
    let (entrypoint, command) =
        image.map_or((&[][..], &[][..]), |image| (&image.config.entrypoint[..], &image.config.command[..]));
    // An entry point of the service's own discards the image's command, as those arguments were meant for the image's
    // entry point.
    let (entrypoint, command) = match &service.config.entrypoint {
        Some(entrypoint) => (entrypoint.as_slice(), &[][..]),
        None => (entrypoint, command),
    };
    let args: Vec<String> =
        entrypoint.iter().chain(service.run.as_deref().unwrap_or(command)).cloned().collect();
    if args.is_empty() {
        let message = format!(
            "service `{}` has no command: its image sets neither an entry point nor a command\n\nhelp: add `run [...]`",
            service.name
        );
        return Err(Error::invalid(Some(&service.name), message));
    }
    complete(&service.name, args, &service.config, image)
}

/// The configuration of the image made of a container: that of the image it starts from, overridden by the pipeline's. It
/// contains nothing of secrets.
pub(super) fn of_image(config: &Config, image: Option<&Image>) -> ImageConfig {
    let ground = image.map(|image| image.config.clone()).unwrap_or_default();
    let mut made = ImageConfig {
        workdir: workdir(&ground.workdir, config.workdir.as_deref()),
        user: config.user.clone().unwrap_or_else(|| ground.user.clone()),
        ..ground
    };
    if let Some(entrypoint) = &config.entrypoint {
        made.entrypoint.clone_from(entrypoint);
        made.command.clear();
    }
    for (key, value) in &config.env {
        if let Var::Plain(value) = value {
            made.env.retain(|(other, _)| other != key);
            made.env.push((key.clone(), value.clone()));
        }
    }
    made.labels.extend(config.labels.clone());
    made
}

/// The same process, which knows what span it is a part of.
pub(super) fn traced(mut process: Process, config: &Config, span: &Span) -> Process {
    let variables = trace(config, span);
    if !variables.is_empty() {
        process.env.retain(|(key, _)| !is_of_trace(key));
        process.env.extend(variables);
    }
    process
}

/// The variables that say what span a process is a part of, unless the pipeline sets them. They say nothing of what the
/// process is: no identity knows them.
pub(super) fn trace(config: &Config, span: &Span) -> Vec<(String, String)> {
    if config.env.keys().any(|key| is_of_trace(key)) {
        return Vec::new();
    }
    span.trace_context().map(|context| context.variables()).unwrap_or_default()
}

/// Whether a variable is one of those. The two belong together.
pub(super) fn is_of_trace(key: &str) -> bool {
    [TRACEPARENT, TRACESTATE].contains(&key)
}

fn complete(name: &str, args: Vec<String>, config: &Config, image: Option<&Image>) -> Result<Process> {
    let default = ImageConfig::default();
    let ground = image.map_or(&default, |image| &image.config);
    let mut process = Process {
        args,
        env: ground.env.clone(),
        secret_env: Vec::new(),
        workdir: workdir(&ground.workdir, config.workdir.as_deref()),
        user: config.user.clone().unwrap_or_else(|| ground.user.clone()),
        hostname: config.hostname.clone(),
        security: config.security.clone(),
        limits: config.limits.clone(),
        labels: config.labels.clone().into_iter().collect(),
    };
    for (key, value) in &config.env {
        process.env.retain(|(other, _)| other != key);
        match value {
            Var::Plain(value) => process.env.push((key.clone(), value.clone())),
            Var::Secret(secret) => process.secret_env.push((key.clone(), reveal(name, secret)?)),
        }
    }
    Ok(process)
}

fn workdir(ground: &str, wanted: Option<&str>) -> String {
    let ground = if ground.is_empty() { "/" } else { ground };
    match wanted {
        None => ground.to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("{}/{path}", ground.trim_end_matches('/')),
    }
}

fn unusable(item: &str, secret: &Secret, why: &str) -> Error {
    Error::invalid(Some(item), format!("secret `{}`: {why}", secret.name())).at([secret.location()])
}

/// A secret's contents.
pub(super) fn contents(item: &str, secret: &Secret) -> Result<Arc<[u8]>> {
    let missing = |why: String| unusable(item, secret, &why);
    Ok(match secret.source() {
        SecretSource::Env(variable) => match std::env::var(&**variable) {
            Ok(value) => value.into_bytes().into(),
            Err(VarError::NotPresent) => {
                return Err(missing(format!(
                    "the environment variable `{variable}` is not set\n\nhelp: set it where the program is started, or take the secret from a file: `secret::file(\"path\")`"
                )));
            }
            Err(VarError::NotUnicode(_)) => {
                return Err(missing(format!(
                    "the environment variable `{variable}` is not UTF-8\n\nhelp: put it into a file: `secret::file(\"path\")` takes any bytes"
                )));
            }
        },
        SecretSource::File(path) => match std::fs::read(path) {
            Ok(contents) => contents.into(),
            Err(error) => {
                return Err(missing(format!(
                    "{}\n\nhelp: put the secret there, or take it from a variable: `secret::env(\"NAME\")`",
                    missing::said(path, "file", &error)
                )));
            }
        },
        SecretSource::Value(contents) => contents.clone(),
    })
}

/// A secret's contents as text that a variable can hold.
pub(super) fn reveal(item: &str, secret: &Secret) -> Result<String> {
    let missing = |why: String| unusable(item, secret, &why);
    let bytes = contents(item, secret)?;
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| missing("not UTF-8, so no variable can hold it".to_owned()))?;
    if text.contains('\0') {
        return Err(missing("it contains a NUL byte, so no variable can hold it".to_owned()));
    }
    Ok(text)
}
