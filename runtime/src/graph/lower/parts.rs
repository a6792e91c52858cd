//! What a body mounts, copies and binds.

use std::sync::Arc;

use super::{Fold, Ground, Lowering};
use crate::Result;
use crate::arguments;
use crate::graph::layout::check_read;
use crate::graph::node::{Binding, Fs, Mount, MountSource, Place};
use crate::model::{Access, CacheUse, Existing};
use crate::paths::{placed_path, plain_path, readable_path};
use crate::value::{MountKind, PathIn, Service};

impl Lowering {
    pub(super) fn mount(
        &mut self,
        fold: &mut Fold,
        path: &str,
        source: &MountKind,
        access: Access,
    ) -> Result<()> {
        let (at, is_directory) = match source {
            MountKind::Cache(cache) => {
                let checked = arguments::cache_key(cache.key());
                self.at(cache.location(), |lowering| lowering.problem(&fold.name, checked));
                let cache = CacheUse { key: cache.key().into(), sharing: cache.sharing() };
                self.mount_over(fold, path, MountSource::Cache(cache), access);
                return Ok(());
            }
            MountKind::Secret(secret) => {
                self.mount_over(fold, path, MountSource::Secret(secret.clone()), access);
                return Ok(());
            }
            MountKind::Directory(directory) => (&directory.at, true),
            MountKind::File(file) => (&file.at, false),
        };
        let (fs, from) = self.copied(fold, at, is_directory)?;
        match access {
            Access::ReadOnly => self.mount_over(fold, path, MountSource::Copy { fs, from }, access),
            // What may be written to is the container's own, and goes on with it.
            Access::ReadWrite => {
                let mounted = fold.layout.mount_own(fs, from, path);
                self.problem(&fold.name.clone(), placed_path("mount path", path).and(mounted));
            }
        }
        Ok(())
    }

    pub(super) fn mount_over(&mut self, fold: &mut Fold, path: &str, source: MountSource, access: Access) {
        let mounted = fold.layout.mount(Mount { path: path.to_owned(), source, access });
        self.problem(&fold.name.clone(), mounted);
    }

    pub(super) fn copy(
        &mut self,
        fold: &mut Fold,
        to: String,
        at: &PathIn,
        is_directory: bool,
    ) -> Result<()> {
        let (fs, from) = self.copied(fold, at, is_directory)?;
        let checked = placed_path("copy path", &to);
        let placed = fold.layout.place(Place::Copy { fs, from, to, existing: Existing::Stays });
        self.problem(&fold.name.clone(), checked.and(placed));
        Ok(())
    }

    /// Where what is copied is found: a directory's path ends in `/`, so that a file is never taken for one.
    pub(super) fn copied(&mut self, fold: &Fold, at: &PathIn, is_directory: bool) -> Result<(Fs, String)> {
        let source = self.container(&at.container, "container")?;
        let checked = readable_path("path", &at.path).and_then(|()| check_read(&source.mounts, &at.path));
        self.problem(&fold.name.clone(), checked);
        let from = plain_path(&at.path);
        let end = if is_directory && from != "/" { "/" } else { "" };
        Ok((source.fs.clone(), from + end))
    }

    /// The image's platform: of its own image, before anything is done with it.
    pub(super) fn platform(&mut self, fold: &mut Fold, platform: &str) {
        let name = fold.name.clone();
        let before = match (&mut fold.fs, fold.base) {
            (Some(Fs::Image(image, _)), Ground::Image) => image.platform.replace(platform.into()),
            (_, Ground::Image) => {
                let advice = "help: move it before the first step";
                return self
                    .invalid(&name, format!("a platform after a step changes nothing of it\n\n{advice}"));
            }
            (_, Ground::Other) => {
                let advice = "help: set it where that container names its image";
                return self
                    .invalid(&name, format!("a container of another one has its platform\n\n{advice}"));
            }
        };
        if let Some(before) = before.filter(|before| **before != *platform) {
            self.invalid(&name, format!("two platforms: `{before}` and `{platform}`"));
        }
        if let Some(Fs::Image(image, _)) = &fold.fs {
            Arc::make_mut(&mut fold.config).image = Some(image.clone());
        }
    }

    pub(super) fn bind(&mut self, fold: &mut Fold, alias: &str, service: &Service) -> Result<()> {
        let node = self.service(service, alias)?;
        let name = fold.name.clone();
        if node.ports.is_empty() && !node.says_when_ready() {
            let message = format!(
                "service `{0}` exposes no port, and does not say when it is ready\n\nhelp: add `expose ...;` to `{0}`, or `ready exec [...]` or `ready log \"...\"`",
                node.name
            );
            self.invalid(&name, message);
        }
        // Host names do not tell upper from lower case.
        let is_alias = |other: &String| other.eq_ignore_ascii_case(alias);
        let taken = fold.bindings.iter().find(|binding| binding.aliases.iter().any(is_alias));
        if let Some(taken) = taken {
            // To say the same twice is no mistake.
            if taken.service.digest != node.digest {
                let names = [&taken.service.name, &node.name];
                let message =
                    format!("alias `{alias}` is bound twice: to `{}` and to `{}`", names[0], names[1]);
                self.invalid(&name, message);
            }
            return Ok(());
        }
        match fold.bindings.iter_mut().find(|binding| binding.service.digest == node.digest) {
            Some(binding) => binding.aliases.push(alias.to_owned()),
            None => fold.bindings.push(Binding { service: node, aliases: vec![alias.to_owned()] }),
        }
        Ok(())
    }
}
