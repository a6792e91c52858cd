//! What a key is made of, part by part: compared with what it was made of before, the parts say why there is no result for it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Contents, Identities};
use crate::graph::encode::Encoder;
use crate::graph::node::{Binding, Fs, Mount, MountSource, Place, Step, Var};
use crate::model::Digest;
use crate::value::LocalSource;

/// The parts of a step's key, each by a name for people and a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ingredients {
    pub(crate) key: String,
    /// In the order in which they are written.
    parts: Vec<(String, String)>,
    /// All of the key, in coarse parts: nothing changes a key that changes none of these.
    fields: Vec<(String, String)>,
    /// The directories and files of this machine among the parts, each with the digest of all that was found there.
    pub(crate) sources: Vec<(String, String)>,
}

/// Who remembers what results were made of.
pub(crate) trait Recorder: std::fmt::Debug + Send + Sync {
    /// A step of an item has a result. `number` is that of the step in its item, from 1.
    fn record(&self, item: &str, number: usize, made_of: Ingredients, contents: Vec<Arc<dyn Contents>>);
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
        let mut parts: Vec<(String, String)> = Vec::new();
        let mut sources: Vec<Arc<LocalSource>> = Vec::new();
        let before = match &step.base {
            Fs::Step(before) if before.name == step.name => "the step before".to_owned(),
            base => name(base),
        };
        parts.push((before, self.part(|this, encoder| this.fs(encoder, &step.base))));
        sources.extend(local(&step.base));
        for place in &step.places {
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
        for (index, argument) in step.args.iter().flatten().enumerate() {
            let hash = self.part(|_, encoder| encoder.text(argument));
            parts.push((format!("argument {}", index + 1), hash));
        }
        for (key, value) in &step.config.env {
            let hash = self.part(|_, encoder| match value {
                Var::Plain(value) => encoder.text("plain").text(value),
                Var::Secret(secret) => encoder.text("secret").text(secret.name()),
            });
            parts.push((format!("env {key}"), hash));
        }
        for mount in &step.mounts {
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
        for Binding { service, aliases } in &step.bindings {
            let digest = self.service(service);
            let hash = self.part(|_, encoder| encoder.digest(digest));
            parts.push((format!("service {} (as {})", service.name, aliases.join(", ")), hash));
        }
        for after in &step.after {
            let digest = self.step(after);
            let hash = self.part(|_, encoder| encoder.digest(digest));
            parts.push((format!("container {}, which comes before it", after.name), hash));
        }
        let fields = fields.into_iter().map(|(field, digest)| (field.to_owned(), short(digest))).collect();
        let (names, contents): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .filter_map(|source| {
                let contents = self.hosts.get(&source)?.clone();
                Some(((source.path.display().to_string(), short(contents.digest("/"))), contents))
            })
            .unzip();
        (Ingredients { key: key.to_string(), parts, fields, sources: names }, contents)
    }

    /// The hash of a part.
    fn part(&mut self, write: impl for<'e> FnOnce(&mut Self, &'e mut Encoder) -> &'e mut Encoder) -> String {
        let mut encoder = Encoder::new("part");
        write(self, &mut encoder);
        short(encoder.finish())
    }
}

impl Ingredients {
    /// What has changed since then; empty if nothing has.
    pub(crate) fn changes_since(&self, before: &Self) -> Vec<Change> {
        if self.key == before.key {
            return Vec::new();
        }
        let changed = changes(&numbered(&self.parts), &numbered(&before.parts));
        if !changed.is_empty() {
            return changed;
        }
        // What has no part of its own, or their order.
        let words = |fields: &[(String, String)]| -> Vec<(String, String)> {
            fields.iter().map(|(field, hash)| (in_words(field).to_owned(), hash.clone())).collect()
        };
        let (now, then) = (words(&self.fields), words(&before.fields));
        let changed = changes(&numbered(&now), &numbered(&then));
        if changed.is_empty() { vec![Change::Changed("bowline's own version".to_owned())] } else { changed }
    }
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    New(String),
    Changed(String),
    Gone(String),
}

/// A part's name, and which of those of the same name it is, with its hash.
type Numbered<'a> = Vec<((&'a str, usize), &'a str)>;

fn numbered(parts: &[(String, String)]) -> Numbered<'_> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    parts
        .iter()
        .map(|(name, hash)| {
            let number = seen.entry(name).or_default();
            *number += 1;
            ((name.as_str(), *number), hash.as_str())
        })
        .collect()
}

fn changes(now: &Numbered<'_>, then: &Numbered<'_>) -> Vec<Change> {
    let before: HashMap<_, _> = then.iter().copied().collect();
    let after: HashMap<_, _> = now.iter().copied().collect();
    let changed = now.iter().filter_map(|(name, hash)| match before.get(name) {
        None => Some(Change::New(name.0.to_owned())),
        Some(other) if other != hash => Some(Change::Changed(name.0.to_owned())),
        Some(_) => None,
    });
    let gone = then.iter().filter(|(name, _)| !after.contains_key(name));
    changed.chain(gone.map(|(name, _)| Change::Gone(name.0.to_owned()))).collect()
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

/// A field of the encoding, for people.
fn in_words(field: &str) -> &str {
    match field {
        "base" => "what it starts from",
        "files" => "the order of its files and copies",
        "arguments" => "the number of its arguments",
        "environment" => "its environment",
        "workdir" => "its working directory",
        "user" => "its user",
        "hostname" => "its host name",
        "bindings" => "its services",
        "mounts" => "its mounts",
        "after" => "what comes before it",
        "stdin" => "its standard input",
        "expect" => "how it is expected to end",
        "stdout" | "stderr" => "where its output goes",
        "uncached" => "that it is uncached",
        other => other,
    }
}

#[cfg(test)]
mod tests;
