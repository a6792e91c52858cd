//! What nodes need that is outside of the graph, and who of them needs whose files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::node::{Binding, Config, Fs, Mount, Place, ServiceNode, Step};
use super::uses::Uses;
use crate::model::{Digest, ImageName, Location};
use crate::value::LocalSource;

/// Everything outside that the roots need: images, and files of this machine, each with the places where it is written.
/// Found without recursion, as chains may be long.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    /// The images.
    pub(crate) images: BTreeMap<ImageName, BTreeSet<Location>>,
    /// The files and directories of this machine.
    pub(crate) hosts: HashMap<Arc<LocalSource>, Taken>,
    /// The aliases of services, each with the name of its service.
    pub(crate) aliases: BTreeMap<String, Arc<str>>,
    /// Who needs the files of which steps.
    pub(crate) uses: Uses,
    /// The nodes that were visited.
    seen: HashSet<Digest>,
}

/// Where a file or directory of this machine is written, and the items that take it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) places: BTreeSet<Location>,
    pub(crate) items: BTreeSet<Arc<str>>,
}

enum Visit<'a> {
    Step(&'a Arc<Step>),
    Service(&'a Arc<ServiceNode>),
}

impl Requirements {
    pub(crate) fn of_fs(fs: &Fs) -> Self {
        let mut requirements = Self::default();
        let open = requirements.fs(None, fs).into_iter().collect();
        requirements.uses.add_root(fs);
        requirements.walk(open);
        requirements
    }

    pub(crate) fn of_step(step: &Arc<Step>) -> Self {
        let mut requirements = Self::default();
        requirements.uses.add_asked(step);
        requirements.walk(vec![Visit::Step(step)]);
        requirements
    }

    pub(crate) fn of_service(service: &Arc<ServiceNode>) -> Self {
        let mut requirements = Self::default();
        requirements.walk(vec![Visit::Service(service)]);
        requirements
    }

    /// Adds what others need.
    pub(crate) fn extend(&mut self, others: Self) {
        for (image, places) in others.images {
            self.images.entry(image).or_default().extend(places);
        }
        for (source, taken) in others.hosts {
            let known = self.hosts.entry(source).or_default();
            known.places.extend(taken.places);
            known.items.extend(taken.items);
        }
        self.aliases.extend(others.aliases);
        self.uses.extend(&others.uses);
        self.seen.extend(others.seen);
    }

    fn walk(&mut self, mut open: Vec<Visit<'_>>) {
        while let Some(visit) = open.pop() {
            match visit {
                Visit::Step(step) => {
                    if self.seen.insert(step.digest) {
                        self.uses.add_step(step);
                        self.ground(&step.config);
                        open.extend(step.after.iter().map(Visit::Step));
                        open.extend(self.parts(
                            &step.name,
                            Some(&step.base),
                            &step.places,
                            &step.mounts,
                            &step.bindings,
                        ));
                    }
                }
                Visit::Service(service) => {
                    if self.seen.insert(service.digest) {
                        self.uses.add_service(service);
                        self.ground(&service.config);
                        open.extend(self.parts(
                            &service.name,
                            service.base.fs(),
                            &service.places,
                            &service.mounts,
                            &service.bindings,
                        ));
                    }
                }
            }
        }
    }

    /// The location is found through the file system that starts from the image.
    fn ground(&mut self, config: &Config) {
        if let Some(image) = &config.image {
            self.images.entry(image.clone()).or_default();
        }
    }

    fn parts<'a>(
        &mut self,
        item: &Arc<str>,
        base: Option<&'a Fs>,
        places: &'a [Place],
        mounts: &'a [Mount],
        bindings: &'a [Binding],
    ) -> Vec<Visit<'a>> {
        for Binding { service, aliases } in bindings {
            self.aliases.extend(aliases.iter().map(|alias| (alias.clone(), service.name.clone())));
        }
        let mut parts: Vec<_> = bindings.iter().map(|binding| Visit::Service(&binding.service)).collect();
        for place in places {
            if let Place::Copy { fs, .. } = place {
                parts.extend(self.fs(Some(item), fs));
            }
        }
        parts.extend(mounts.iter().filter_map(|mount| self.fs(Some(item), mount.source.fs()?)));
        parts.extend(base.and_then(|base| self.fs(Some(item), base)));
        parts
    }

    /// The item is who takes it, if one does.
    fn fs<'a>(&mut self, item: Option<&Arc<str>>, fs: &'a Fs) -> Option<Visit<'a>> {
        match fs {
            Fs::Step(step) => Some(Visit::Step(step)),
            Fs::Prepared(prepared) => Some(Visit::Service(&prepared.service)),
            Fs::Held(_) => None,
            Fs::Local(source, at) => {
                let taken = self.hosts.entry(source.clone()).or_default();
                taken.places.insert(*at);
                taken.items.extend(item.cloned());
                None
            }
            Fs::Image(image, at) => {
                self.images.entry(image.clone()).or_default().insert(*at);
                None
            }
        }
    }
}
