//! What counts as the same: the one place that says what goes into an identity and what stays out.
//!
//! In: base and platform, placed and mounted contents, arguments, environment, working directory, user, host name, rights,
//! tmpfs, sockets, cache keys, names of secrets, what it comes after, standard input, expected end and redirections, and for each binding the alias with the service's identity. Out: exposed ports and their names, labels, health,
//! timeouts, limits, stop and linger settings, item names, contents of secrets and caches: they cannot change the result.

use std::collections::HashMap;
use std::sync::Arc;

use super::encode::Encoder;
use super::node::{Binding, Config, Fs, Mount, MountSource, Place, ServiceNode, Step, Var};
use crate::model::Digest;
use crate::model::ImageName;
use crate::model::{Access, Existing};
use crate::value::{ExecOptions, Expect, HostKind, HostSource, IgnoreFiles};

/// Computes identities, with images by what they resolved to where that is known.
///
/// With no image resolved the result is a node's `digest`: the same on every machine. With all resolved it is the key
/// that results are kept under: a tag that moved makes another key.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    images: HashMap<ImageName, String>,
    hosts: HashMap<Arc<HostSource>, Digest>,
    /// Tells uncached steps of this session from those of others.
    session: Option<String>,
    steps: HashMap<usize, Digest>,
    services: HashMap<usize, Digest>,
}

impl Identities {
    /// Identities with these images taken for the ids they resolved to, and what is read of this machine for its
    /// contents, in a session.
    pub(crate) fn resolved(
        images: HashMap<ImageName, String>,
        hosts: HashMap<Arc<HostSource>, Digest>,
        session: String,
    ) -> Self {
        Self { images, hosts, session: Some(session), ..Self::default() }
    }

    pub(crate) fn step(&mut self, step: &Arc<Step>) -> Digest {
        // Chains can be hundreds of steps long: go down them in a loop, not by recursion.
        let mut chain = vec![step];
        while let Some(Fs::Step(base)) = chain.last().map(|step| &step.base) {
            if self.steps.contains_key(&Arc::as_ptr(base).addr()) {
                break;
            }
            chain.push(base);
        }
        for step in chain.iter().rev() {
            let address = Arc::as_ptr(step).addr();
            if !self.steps.contains_key(&address) {
                let digest = self.encode_step(step);
                self.steps.insert(address, digest);
            }
        }
        self.steps.get(&Arc::as_ptr(step).addr()).copied().unwrap_or_else(|| self.encode_step(step))
    }

    pub(crate) fn service(&mut self, service: &Arc<ServiceNode>) -> Digest {
        let address = Arc::as_ptr(service).addr();
        if let Some(known) = self.services.get(&address) {
            return *known;
        }
        let digest = self.encode_service(service);
        self.services.insert(address, digest);
        digest
    }

    /// A container as a whole: what it holds and how it is configured.
    pub(crate) fn container(&mut self, fs: &Fs, config: &Config, mounts: &[Mount]) -> Digest {
        let mut encoder = Encoder::new("container");
        self.fs(&mut encoder, fs);
        Self::config(&mut encoder, config);
        self.mounts(&mut encoder, mounts);
        Self::entrypoint(&mut encoder, config);
        encoder.finish()
    }

    pub(super) fn encode_step(&mut self, step: &Step) -> Digest {
        let mut encoder = Encoder::new("step");
        self.fs(&mut encoder, &step.base);
        self.places(&mut encoder, &step.places);
        match &step.args {
            None => encoder.list(0),
            Some(args) => encoder.list(1).texts(args.iter().map(String::as_str)),
        };
        Self::config(&mut encoder, &step.config);
        self.mounts(&mut encoder, &step.mounts);
        self.bindings(&mut encoder, &step.bindings);
        let mut after: Vec<_> = step.after.iter().map(|step| self.step(step)).collect();
        after.sort_unstable();
        after.dedup();
        encoder.list(after.len());
        for digest in after {
            encoder.digest(digest);
        }
        self.options(&mut encoder, &step.options);
        encoder.finish()
    }

    /// Only what was asked for, each under its name. A timeout cannot change a result, only prevent it.
    fn options(&self, encoder: &mut Encoder, options: &ExecOptions) {
        if let Some(stdin) = &options.stdin {
            encoder.text("stdin").bytes(stdin);
        }
        match options.expect {
            Expect::Success => {}
            Expect::Failure => drop(encoder.text("expect").text("failure")),
            Expect::Any => drop(encoder.text("expect").text("any")),
        }
        for (name, path) in [("stdout", &options.stdout), ("stderr", &options.stderr)] {
            if let Some(path) = path {
                encoder.text(name).text(path);
            }
        }
        if options.uncached {
            encoder.text("uncached").optional(self.session.as_deref());
        }
    }

    pub(super) fn encode_service(&mut self, service: &ServiceNode) -> Digest {
        let mut encoder = Encoder::new("service");
        self.fs(&mut encoder, &service.base);
        self.places(&mut encoder, &service.places);
        match &service.run {
            None => encoder.list(0),
            Some(args) => encoder.list(1).texts(args.iter().map(String::as_str)),
        };
        Self::config(&mut encoder, &service.config);
        self.mounts(&mut encoder, &service.mounts);
        self.bindings(&mut encoder, &service.bindings);
        encoder.optional(service.instance.as_deref());
        Self::entrypoint(&mut encoder, &service.config);
        encoder.finish()
    }

    fn fs(&mut self, encoder: &mut Encoder, fs: &Fs) {
        match fs {
            Fs::Image(image) => {
                let id = self.images.get(image).map_or(&*image.reference, String::as_str);
                encoder.text("image").text(id);
                if let Some(platform) = &image.platform {
                    encoder.text("platform").text(platform);
                }
            }
            Fs::Host(source) => match self.hosts.get(source) {
                Some(contents) => drop(encoder.text("host contents").digest(*contents)),
                None => Self::host(encoder, source),
            },
            Fs::Held(held) => {
                encoder.text("snapshot").text(&held.snapshot.0);
            }
            Fs::Step(step) => {
                let digest = self.step(step);
                encoder.text("step").digest(digest);
            }
        }
    }

    /// As it was written: an identity is the same on every machine, and asking for one reads nothing.
    fn host(encoder: &mut Encoder, source: &HostSource) {
        encoder.text("host").bytes(source.path.as_os_str().as_encoded_bytes());
        match &source.kind {
            HostKind::File => drop(encoder.text("file")),
            HostKind::Directory { include, exclude, ignore_files } => {
                encoder.text("directory");
                encoder.texts(include.iter().map(String::as_str)).texts(exclude.iter().map(String::as_str));
                encoder.list(match ignore_files {
                    IgnoreFiles::Honoured => 1,
                    IgnoreFiles::Disregarded => 0,
                });
            }
        }
    }

    fn places(&mut self, encoder: &mut Encoder, places: &[Place]) {
        encoder.list(places.len());
        for place in places {
            match place {
                Place::File { path, contents } => {
                    encoder.text("file").text(path).bytes(contents);
                }
                Place::Copy { fs, from, to, existing } => {
                    encoder.text(match existing {
                        Existing::Stays => "copy",
                        Existing::Goes => "mount",
                    });
                    self.fs(encoder, fs);
                    encoder.text(from).text(to);
                }
            }
        }
    }

    fn config(encoder: &mut Encoder, config: &Config) {
        encoder.list(config.env.len());
        for (key, value) in &config.env {
            encoder.text(key);
            match value {
                Var::Plain(value) => encoder.text("plain").text(value),
                Var::Secret(secret) => encoder.text("secret").text(secret.name()),
            };
        }
        encoder.optional(config.workdir.as_deref()).optional(config.user.as_deref());
        if let Some(hostname) = &config.hostname {
            encoder.text("hostname").text(hostname);
        }
        if config.privileged {
            encoder.text("privileged");
        }
    }

    /// What commands do not use, but a service does.
    fn entrypoint(encoder: &mut Encoder, config: &Config) {
        if let Some(args) = &config.entrypoint {
            encoder.text("entrypoint").texts(args.iter().map(String::as_str));
        }
    }

    /// Cache volumes that can be written to in a list of their own, whatever is mounted besides, each under its name. Their
    /// order says nothing that their paths do not: of two, one below the other, the outer is mounted first.
    fn mounts(&mut self, encoder: &mut Encoder, mounts: &[Mount]) {
        let mut mounts: Vec<_> = mounts.iter().collect();
        mounts.sort_by(|a, b| a.path.cmp(&b.path));
        let cache = |mount: &&&Mount| match (&mount.source, mount.access) {
            (MountSource::Cache(key), Access::ReadWrite) => Some((mount.path.clone(), key.clone())),
            _ => None,
        };
        encoder.list(mounts.iter().filter(|mount| cache(mount).is_some()).count());
        for (path, key) in mounts.iter().filter_map(|mount| cache(&mount)) {
            encoder.text(&path).text(&key);
        }
        for mount in mounts.iter().filter(|mount| cache(mount).is_none()) {
            encoder.text("mount").text(&mount.path);
            match &mount.source {
                MountSource::Cache(key) => drop(encoder.text("cache").text(key)),
                MountSource::Secret(secret) => drop(encoder.text("secret").text(secret.name())),
                MountSource::Memory => drop(encoder.text("memory")),
                MountSource::Socket(host) => drop(encoder.text("socket").text(host)),
                MountSource::Copy { fs, from } => {
                    self.fs(encoder, fs);
                    encoder.text(from);
                }
            }
        }
    }

    fn bindings(&mut self, encoder: &mut Encoder, bindings: &[Binding]) {
        let mut pairs: Vec<(&str, Digest)> = Vec::new();
        for binding in bindings {
            let digest = self.service(&binding.service);
            pairs.extend(binding.aliases.iter().map(|alias| (alias.as_str(), digest)));
        }
        pairs.sort_unstable();
        encoder.list(pairs.len());
        for (alias, digest) in pairs {
            encoder.text(alias).digest(digest);
        }
    }
}
