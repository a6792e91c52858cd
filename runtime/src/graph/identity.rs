//! What counts as the same: the one place that says what goes into an identity and what stays out.
//!
//! Every node is taken apart field by field here, with no `..`: a field that is added to one does not compile until it is
//! encoded or left out by name. What is left out cannot change the result, or is said elsewhere. What is absent is encoded
//! as absent; or, where a field has a name that only it has, its name is left out with it.
//!
//! An identity covers exactly what is used: of a copied or mounted path the path, and what makes the file system it is in;
//! of the machine's files, once they are read, what is at the path.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::encode::{Encoder, Fields};
use super::node::{
    Binding, Config, Fs, Held, Mount, MountSource, Place, Prepared, ServiceBase, ServiceNode, Step, Var,
};
use crate::model::{
    Access, CacheUse, Capabilities, ContentDigest, Digest, Existing, Grant, HostAddress, HostServer,
    ImageName, Limits, SecurityContext,
};
use crate::value::{ExecOptions, Expect, IgnoreFiles, LocalKind, LocalSource};

/// What an image's name meant when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) id: ContentDigest,
    /// `os/architecture[/variant]`: what it runs as, asked for or not.
    pub(crate) platform: String,
}

/// What was found in a directory or file of the machine.
pub(crate) trait Contents: std::fmt::Debug + Send + Sync {
    /// What tells what is at a path of it from everything else that might be there; where nobody can tell what that is, as a
    /// link is on the way, all of it.
    fn digest(&self, path: &str) -> Digest;

    /// The path of each file, with the start of a hash of what is in it; `None` if there are more than this many.
    fn files(&self, most: usize) -> Option<Vec<(String, String)>>;
}

/// Whether limits count: they do where a command may fail, as to run out of memory is a result there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfLimits {
    Count,
    CannotChangeTheResult,
}

/// Computes identities, with images by what they resolved to where that is known.
///
/// With no image resolved the result is a node's `digest`: the same on every machine. With all resolved it is the key
/// that results are kept under: a tag that moved makes another key.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    images: HashMap<ImageName, Resolved>,
    hosts: HashMap<Arc<LocalSource>, Arc<dyn Contents>>,
    /// Tells uncached steps of this session from those of others.
    session: Option<String>,
    steps: HashMap<usize, Digest>,
    services: HashMap<usize, Digest>,
}

impl Identities {
    /// Identities with these images taken for the ids they resolved to, and what is read of this machine for its
    /// contents, in a session.
    pub(crate) fn resolved(
        images: HashMap<ImageName, Resolved>,
        hosts: HashMap<Arc<LocalSource>, Arc<dyn Contents>>,
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
        encoder.field("base", |encoder| self.fs(encoder, fs));
        Self::config(&mut encoder, config, OfLimits::CannotChangeTheResult);
        encoder.field("entrypoint", |encoder| encoder.optional_texts(config.entrypoint.as_deref()));
        encoder.field("mounts", |encoder| self.mounts(encoder, mounts));
        encoder.finish()
    }

    /// What a prepared service leaves.
    pub(crate) fn prepared(&mut self, prepared: &Prepared) -> Digest {
        let Prepared {
            service,
            key,
            prepare: _, // code has no identity: the key stands for it
            at: _,      // where it is written does not matter
        } = prepared;
        let service = self.service(service);
        let mut encoder = Encoder::new("prepared");
        encoder.field("service", |encoder| encoder.digest(service));
        encoder.field("key", |encoder| encoder.text(key));
        encoder.finish()
    }

    pub(super) fn encode_step(&mut self, step: &Step) -> Digest {
        self.fields_of_step(step).0
    }

    /// A step's identity, and what of it is what.
    pub(super) fn fields_of_step(&mut self, step: &Step) -> (Digest, Fields) {
        let Step {
            digest: _,    // made of the rest
            name: _,      // what it is called does not matter to it
            locations: _, // nor where it is written: what moves in a file is what it was
            base,
            places,
            args,
            options,
            is_volatile: _, // says of the rest that some of it is uncached
            expiring: _,    // whose results may have to be made anew: then this one is, too
            goes_on: _,     // of values, not of what they come to
            config,
            mounts,
            bindings,
            after,
        } = step;
        let ExecOptions {
            stdin,
            expect,
            timeout: _, // can prevent a result, not change it
            stdout,
            stderr,
            fresh: _, // how old a result may be that is taken, not what it is
            uncached,
        } = options;
        let mut encoder = Encoder::new("step");
        encoder.field("base", |encoder| self.fs(encoder, base));
        encoder.field("files", |encoder| self.places(encoder, places));
        encoder.field("arguments", |encoder| encoder.optional_texts(args.as_deref()));
        let limits = match expect {
            Expect::Success => OfLimits::CannotChangeTheResult,
            Expect::Failure | Expect::Any => OfLimits::Count,
        };
        Self::config(&mut encoder, config, limits);
        // Commands do not use the entry point.
        encoder.field("mounts", |encoder| self.mounts(encoder, mounts));
        encoder.field("bindings", |encoder| self.bindings(encoder, bindings));
        encoder.field("after", |encoder| {
            let mut digests: Vec<_> = after.iter().map(|step| self.step(step)).collect();
            digests.sort_unstable();
            digests.dedup();
            encoder.list(digests.len());
            for digest in digests {
                encoder.digest(digest);
            }
            encoder
        });
        encoder.field("stdin", |encoder| {
            encoder.optional(stdin.as_deref(), |encoder, bytes| encoder.bytes(bytes))
        });
        encoder.field("expect", |encoder| {
            encoder.text(match expect {
                Expect::Success => "success",
                Expect::Failure => "failure",
                Expect::Any => "any",
            })
        });
        encoder.field("stdout", |encoder| encoder.optional_text(stdout.as_deref()));
        encoder.field("stderr", |encoder| encoder.optional_text(stderr.as_deref()));
        encoder.field("uncached", |encoder| {
            encoder.optional(uncached.then_some(self.session.as_deref()), |encoder, session| {
                encoder.optional_text(session)
            })
        });
        encoder.finish_with_fields()
    }

    pub(super) fn encode_service(&mut self, service: &ServiceNode) -> Digest {
        self.fields_of_service(service).0
    }

    /// A service's identity, and what of it is what.
    pub(super) fn fields_of_service(&mut self, service: &ServiceNode) -> (Digest, Fields) {
        let ServiceNode {
            digest: _,    // made of the rest
            hostname: _,  // made of the digest
            name: _,      // what it is called does not matter to it
            locations: _, // nor where it is written
            base,
            places,
            config,
            mounts,
            bindings,
            run,
            instance,
            is_shared,
            ports, // of a shared one what is reached; else what is probed: the process listens where it listens
            ready: _, // when its clients start, not what it is
            within: _, // as above
            stop: _, // how it ends
            linger: _, // when it ends
            expiring: _, // as of a step
        } = service;
        let mut encoder = Encoder::new("service");
        encoder.field("base", |encoder| match base {
            ServiceBase::Fs(fs) => self.fs(encoder, fs),
            ServiceBase::Server(server) => Self::server(encoder, server),
        });
        encoder.field("files", |encoder| self.places(encoder, places));
        encoder.field("arguments", |encoder| encoder.optional_texts(run.as_deref()));
        Self::config(&mut encoder, config, OfLimits::CannotChangeTheResult);
        encoder.field("entrypoint", |encoder| encoder.optional_texts(config.entrypoint.as_deref()));
        encoder.field("mounts", |encoder| self.mounts(encoder, mounts));
        encoder.field("bindings", |encoder| self.bindings(encoder, bindings));
        encoder.field("instance", |encoder| {
            encoder.optional_text(instance.as_deref());
            if *is_shared {
                // As they were written does not matter to what they are.
                let ports: BTreeSet<String> = ports.iter().map(ToString::to_string).collect();
                encoder.text("shared").texts(ports.iter().map(String::as_str));
            }
            encoder
        });
        encoder.finish_with_fields()
    }

    /// What is used of a file system: of one whose contents are known what is at the path, and not what lies beside it.
    fn path_in<'e>(&mut self, encoder: &'e mut Encoder, fs: &Fs, path: &str) -> &'e mut Encoder {
        let known = match fs {
            Fs::Local(source, _) => self.hosts.get(source),
            Fs::Image(..) | Fs::Held(_) | Fs::Step(_) | Fs::Prepared(_) => None,
        };
        let encoder = match known {
            Some(contents) => encoder.text("host contents").digest(contents.digest(path)),
            None => self.fs(encoder, fs),
        };
        encoder.text(path)
    }

    fn fs<'e>(&mut self, encoder: &'e mut Encoder, fs: &Fs) -> &'e mut Encoder {
        match fs {
            // Where they are written does not matter to what they are.
            Fs::Image(image, _) => self.image(encoder, image),
            Fs::Local(source, _) => match self.hosts.get(source) {
                Some(contents) => encoder.text("host contents").digest(contents.digest("/")),
                None => Self::host(encoder, source),
            },
            Fs::Held(held) => {
                let Held {
                    snapshot,
                    session: _, // an engine's name for a snapshot is that of one session
                    // They are the container's own, which says what it has now.
                    config: _,
                    mounts: _,
                    bindings: _,
                    pins: _, // a means to have them
                } = &**held;
                encoder.text("snapshot").text(&snapshot.0)
            }
            Fs::Step(step) => {
                let digest = self.step(step);
                encoder.text("step").digest(digest)
            }
            Fs::Prepared(prepared) => {
                let digest = self.prepared(prepared);
                encoder.text("prepared").digest(digest)
            }
        }
    }

    /// One whose answers follow from its ports is the same wherever it listens.
    fn server<'e>(encoder: &'e mut Encoder, server: &HostServer) -> &'e mut Encoder {
        let HostServer { forwards, is_cached } = server;
        encoder.text("server").flag(*is_cached).list(forwards.len());
        for (port, address) in forwards {
            encoder.text(&port.to_string());
            if !is_cached {
                let HostAddress { host, port } = address;
                encoder.optional_text(host.as_deref()).number((*port).into());
            }
        }
        encoder
    }

    fn image<'e>(&self, encoder: &'e mut Encoder, image: &ImageName) -> &'e mut Encoder {
        let ImageName { reference, platform } = image;
        match self.images.get(image) {
            Some(Resolved { id, platform }) => encoder.text("image").text(&id.to_string()).text(platform),
            None => encoder.text("image reference").text(reference).optional_text(platform.as_deref()),
        }
    }

    /// As it was written: an identity is the same on every machine, and asking for one reads nothing.
    fn host<'e>(encoder: &'e mut Encoder, source: &LocalSource) -> &'e mut Encoder {
        let LocalSource { path, kind } = source;
        encoder.text("host").bytes(path.as_os_str().as_encoded_bytes());
        host_kind(encoder, kind)
    }

    fn places<'e>(&mut self, encoder: &'e mut Encoder, places: &[Place]) -> &'e mut Encoder {
        encoder.list(places.len());
        for place in places {
            match place {
                Place::File { path, contents } => {
                    encoder.text("file").text(path).bytes(contents);
                }
                Place::Copy { fs, from, to, existing } => {
                    encoder.text("copy").text(match existing {
                        Existing::Stays => "into what is there",
                        Existing::Goes => "in place of what is there",
                    });
                    self.path_in(encoder, fs, from).text(to);
                }
            }
        }
        encoder
    }

    /// The entry point is encoded by those that use it.
    fn config(encoder: &mut Encoder, config: &Config, of_limits: OfLimits) {
        let Config {
            image: _, // the one that the base starts from
            env,
            workdir,
            user,
            entrypoint: _,
            hostname,
            security,
            limits,
            labels: _, // shown to the engine's users, and not to the process
        } = config;
        encoder.field("environment", |encoder| {
            encoder.list(env.len());
            for (key, value) in env {
                encoder.text(key);
                match value {
                    Var::Plain(value) => encoder.text("plain").text(value),
                    Var::Secret(secret) => encoder.text("secret").text(secret.name()),
                };
            }
            encoder
        });
        encoder.field("workdir", |encoder| encoder.optional_text(workdir.as_deref()));
        encoder.field("user", |encoder| encoder.optional_text(user.as_deref()));
        encoder.field("hostname", |encoder| encoder.optional_text(hostname.as_deref()));
        Self::security(encoder, security);
        Self::limits(encoder, limits, of_limits);
    }

    fn security(encoder: &mut Encoder, security: &SecurityContext) {
        let SecurityContext { privileged, capabilities, sysctls } = security;
        encoder.field("privileged", |encoder| encoder.flag(*privileged));
        // As with limits: what is younger than the encoding is a field where it is said.
        if !capabilities.is_default() {
            let Capabilities { all, single } = capabilities;
            encoder.field("capabilities", |encoder| {
                encoder.optional_text(all.map(Grant::word)).list(single.len());
                for (name, grant) in single {
                    encoder.text(name).text(grant.word());
                }
                encoder
            });
        }
        if !sysctls.is_empty() {
            encoder.field("sysctls", |encoder| {
                encoder.list(sysctls.len());
                for (name, value) in sysctls {
                    encoder.text(name).text(value);
                }
                encoder
            });
        }
    }

    fn limits(encoder: &mut Encoder, limits: &Limits, of_limits: OfLimits) {
        let Limits { cpu, memory, pids, nofile, core, shm } = limits;
        encoder.field("limits", |encoder| {
            if of_limits == OfLimits::Count {
                encoder.optional(cpu.map(f64::to_bits), |encoder, bits| encoder.number(bits));
                encoder.optional(*memory, |encoder, bytes| encoder.number(bytes));
                for limit in [pids, nofile] {
                    encoder.optional(*limit, |encoder, number| encoder.number(number.into()));
                }
            }
            encoder
        });
        // What is younger than the encoding is a field where it is said, and else no part of it: as fields have names, so
        // that nothing can be taken for another, identities that do not have it stay what they were.
        for (name, amount) in [("limit core", core), ("shm", shm)] {
            if let Some(amount) = amount.filter(|_| of_limits == OfLimits::Count) {
                encoder.field(name, |encoder| encoder.number(amount));
            }
        }
    }

    /// Their order says nothing that their paths do not: of two, one below the other, the outer is mounted first.
    fn mounts<'e>(&mut self, encoder: &'e mut Encoder, mounts: &[Mount]) -> &'e mut Encoder {
        let mut mounts: Vec<_> = mounts.iter().collect();
        mounts.sort_by(|a, b| a.path.cmp(&b.path));
        encoder.list(mounts.len());
        for Mount { path, source, access } in mounts {
            encoder.text(path);
            match source {
                // Who else may use it changes nothing of what comes out.
                MountSource::Cache(CacheUse { key, sharing: _ }) => encoder.text("cache").text(key),
                MountSource::Secret(secret) => encoder.text("secret").text(secret.name()),
                MountSource::Memory => encoder.text("memory"),
                MountSource::Socket(host) => encoder.text("socket").text(host),
                MountSource::Copy { fs, from } => self.path_in(encoder.text("copy"), fs, from),
            };
            encoder.text(match access {
                Access::ReadWrite => "read-write",
                Access::ReadOnly => "read-only",
            });
        }
        encoder
    }

    fn bindings<'e>(&mut self, encoder: &'e mut Encoder, bindings: &[Binding]) -> &'e mut Encoder {
        let mut pairs: Vec<(&str, Digest)> = Vec::new();
        for Binding { service, aliases } in bindings {
            let digest = self.service(service);
            pairs.extend(aliases.iter().map(|alias| (alias.as_str(), digest)));
        }
        pairs.sort_unstable();
        encoder.list(pairs.len());
        for (alias, digest) in pairs {
            encoder.text(alias).digest(digest);
        }
        encoder
    }
}

/// A source on this machine: what it takes of the files at an absolute path.
pub(crate) fn source_at(path: &Path, kind: &LocalKind) -> Digest {
    let mut encoder = Encoder::new("source");
    encoder.bytes(path.as_os_str().as_encoded_bytes());
    host_kind(&mut encoder, kind);
    encoder.finish()
}

/// Which part of a directory is taken.
fn host_kind<'e>(encoder: &'e mut Encoder, kind: &LocalKind) -> &'e mut Encoder {
    match kind {
        LocalKind::File => encoder.text("file"),
        LocalKind::Directory { include, exclude, ignore_files } => {
            encoder.text("directory");
            encoder.texts(include.iter().map(String::as_str)).texts(exclude.iter().map(String::as_str));
            encoder.flag(match ignore_files {
                IgnoreFiles::Honoured => true,
                IgnoreFiles::Disregarded => false,
            })
        }
    }
}

#[cfg(feature = "cli")]
pub(crate) mod ingredients;
#[cfg(test)]
mod tests;
