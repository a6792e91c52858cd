//! What a key is made of, part by part: compared with what it was made of before, the parts say why there is no result for it.

mod changes;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use self::changes::Change;
use super::{Contents, Fields, Identities};
use crate::graph::encode::Encoder;
use crate::graph::node::{
    Binding, Config, Fs, Mount, MountSource, Place, ServiceBase, ServiceNode, Step, Var, closure,
};
use crate::model::Digest;
use crate::value::LocalSource;

/// The parts of a step's key, each by a name for people and a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ingredients {
    pub(crate) key: String,
    #[serde(flatten)]
    parts: MadeOf,
    /// The services that it needs, directly or through others.
    #[serde(default)]
    services: Vec<OfService>,
    /// The directories and files of this machine among the parts, each with the digest of all that was found there.
    pub(crate) sources: Vec<(String, String)>,
}

/// What a service is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OfService {
    name: String,
    key: String,
    #[serde(flatten)]
    parts: MadeOf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MadeOf {
    /// In the order in which they are written.
    parts: Vec<(String, String)>,
    /// The services that are bound, whose own parts say what of them has changed.
    #[serde(default)]
    bindings: Vec<(String, String)>,
    /// All of the key, in coarse parts: nothing changes a key that changes none of these.
    fields: Vec<(String, String)>,
}

/// What is part of steps and of services alike.
struct Made<'a> {
    places: &'a [Place],
    args: Option<&'a [String]>,
    config: &'a Config,
    mounts: &'a [Mount],
    bindings: &'a [Binding],
}

/// Who remembers what results were made of.
pub(crate) trait Recorder: std::fmt::Debug + Send + Sync {
    /// A step of an item has a result. `number` is that of the step in its item, from 1.
    fn record(&self, item: &str, number: usize, made_of: Ingredients, contents: Vec<Arc<dyn Contents>>);

    /// Why a step has no result, for people.
    fn why(&self, item: &str, number: usize, step: &Asked) -> String;
}

/// A step without a result, and what that would be made of.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) is_volatile: bool,
    /// Whether something that it is made of has run again.
    pub(crate) is_renewed: bool,
    pub(crate) made_of: Ingredients,
    pub(crate) contents: Vec<Arc<dyn Contents>>,
}

impl Step {
    /// Which step of its item this is, from 1.
    pub(crate) fn number(&self) -> usize {
        let mut number = 1;
        let mut base = &self.base;
        while let Fs::Step(step) = base
            && step.name == self.name
        {
            number += 1;
            base = &step.base;
        }
        number
    }
}

impl Identities {
    /// What the key of a step is made of, and the contents of the directories of this machine in it.
    pub(crate) fn ingredients(&mut self, step: &Arc<Step>) -> (Ingredients, Vec<Arc<dyn Contents>>) {
        let (key, fields) = self.fields_of_step(step);
        let mut sources: Vec<Arc<LocalSource>> = Vec::new();
        let before = match &step.base {
            Fs::Step(before) if before.name == step.name => "the step before".to_owned(),
            base => name(base),
        };
        let base = (before, self.part(|this, encoder| this.fs(encoder, &step.base)));
        sources.extend(local(&step.base));
        let Step { places, args, config, mounts, bindings, .. } = &**step;
        let made = Made { places, args: args.as_deref(), config, mounts, bindings };
        let mut parts = self.parts(base, &made, fields, &mut sources);
        for after in &step.after {
            let digest = self.step(after);
            let hash = self.part(|_, encoder| encoder.digest(digest));
            parts.parts.push((format!("container {}, which comes before it", after.name), hash));
        }
        let services = closure(bindings);
        let services = services.values().map(|service| self.of_service(service, &mut sources)).collect();
        let (names, contents): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .filter_map(|source| {
                let contents = self.hosts.get(&source)?.clone();
                Some(((source.path.display().to_string(), short(contents.digest("/"))), contents))
            })
            .unzip();
        (Ingredients { key: key.to_string(), parts, services, sources: names }, contents)
    }

    fn of_service(&mut self, service: &Arc<ServiceNode>, sources: &mut Vec<Arc<LocalSource>>) -> OfService {
        let (key, fields) = self.fields_of_service(service);
        let base = match &service.base {
            ServiceBase::Fs(fs) => {
                sources.extend(local(fs));
                (name(fs), self.part(|this, encoder| this.fs(encoder, fs)))
            }
            ServiceBase::Server(server) => {
                ("its address".to_owned(), self.part(|_, encoder| Self::server(encoder, server)))
            }
        };
        let ServiceNode { places, run, config, mounts, bindings, .. } = &**service;
        let made = Made { places, args: run.as_deref(), config, mounts, bindings };
        let parts = self.parts(base, &made, fields, sources);
        OfService { name: service.name.to_string(), key: short(key), parts }
    }

    fn parts(
        &mut self,
        base: (String, String),
        made: &Made<'_>,
        fields: Fields,
        sources: &mut Vec<Arc<LocalSource>>,
    ) -> MadeOf {
        let mut parts = vec![base];
        for place in made.places {
            parts.push(match place {
                Place::File { path, contents } => {
                    (format!("file {path}"), self.part(|_, encoder| encoder.bytes(contents)))
                }
                Place::Copy { fs, from, to, existing: _ } => {
                    sources.extend(local(fs));
                    (
                        format!("{} at {to}", name(fs)),
                        self.part(|this, encoder| this.path_in(encoder, fs, from)),
                    )
                }
            });
        }
        for (index, argument) in made.args.into_iter().flatten().enumerate() {
            let hash = self.part(|_, encoder| encoder.text(argument));
            parts.push((format!("argument {}", index + 1), hash));
        }
        for (key, value) in &made.config.env {
            let hash = self.part(|_, encoder| match value {
                Var::Plain(value) => encoder.text("plain").text(value),
                Var::Secret(secret) => encoder.text("secret").text(secret.name()),
            });
            parts.push((format!("env {key}"), hash));
        }
        for mount in made.mounts {
            let Mount { path, source, access: _ } = mount;
            let what = match source {
                MountSource::Copy { fs, .. } => {
                    sources.extend(local(fs));
                    name(fs)
                }
                MountSource::Cache(key) => format!("cache {key}"),
                MountSource::Secret(secret) => format!("secret {}", secret.name()),
                MountSource::Memory => "tmpfs".to_owned(),
                MountSource::Socket(host) => format!("socket {host}"),
            };
            let hash = self.part(|this, encoder| this.mounts(encoder, std::slice::from_ref(mount)));
            parts.push((format!("{what} mounted at {path}"), hash));
        }
        let mut bindings = Vec::new();
        for Binding { service, aliases } in made.bindings {
            let digest = self.service(service);
            let hash = self.part(|_, encoder| encoder.digest(digest));
            bindings.push((format!("service {} (as {})", service.name, aliases.join(", ")), hash));
        }
        let fields = fields.into_iter().map(|(field, digest)| (field.to_owned(), short(digest))).collect();
        MadeOf { parts, bindings, fields }
    }

    /// The hash of a part.
    fn part(&mut self, write: impl for<'e> FnOnce(&mut Self, &'e mut Encoder) -> &'e mut Encoder) -> String {
        let mut encoder = Encoder::new("part");
        write(self, &mut encoder);
        short(encoder.finish())
    }
}

/// The name of a file system, for people.
fn name(fs: &Fs) -> String {
    match fs {
        Fs::Image(image, _) => format!("image {image}"),
        Fs::Local(source, _) => format!("files of {}", source.path.display()),
        Fs::Held(_) => "what a failed step left".to_owned(),
        Fs::Step(step) => format!("container {}", step.name),
        Fs::Prepared(prepared) => {
            format!("service {}, prepared as {:?}", prepared.service.name, prepared.key)
        }
    }
}

fn local(fs: &Fs) -> Option<Arc<LocalSource>> {
    match fs {
        Fs::Local(source, _) => Some(source.clone()),
        Fs::Image(..) | Fs::Held(_) | Fs::Step(_) | Fs::Prepared(_) => None,
    }
}

/// Enough of a digest to tell that something has changed.
fn short(digest: Digest) -> String {
    format!("{digest:.16}")
}

#[cfg(test)]
mod tests;
