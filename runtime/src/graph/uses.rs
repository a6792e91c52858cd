//! Who needs the files of which steps: some are needed by the next step alone, which may then run where they are.

use std::collections::HashMap;

use super::node::{Config, Fs, ServiceNode, Step};
use crate::model::{Digest, Limits, SecurityContext};

/// The uses of the files of steps, by digest.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    of: HashMap<Digest, Use>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Only this step, which goes on from them.
    GoesOn(Digest),
    /// Anything else, or several.
    Apart,
}

impl Uses {
    /// The step that goes on from another one's files in its place, if nothing else that is known of needs them.
    pub(crate) fn next_of(&self, step: &Digest) -> Option<Digest> {
        match self.of.get(step) {
            Some(Use::GoesOn(next)) => Some(*next),
            Some(Use::Apart) | None => None,
        }
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        for (step, one) in &others.of {
            self.add(step, *one);
        }
    }

    /// What somebody asks for is no step on the way to something else.
    pub(super) fn add_asked(&mut self, step: &Step) {
        self.add(&step.digest, Use::Apart);
    }

    pub(super) fn add_root(&mut self, fs: &Fs) {
        if let Fs::Step(step) = fs {
            self.add_asked(step);
        }
    }

    pub(super) fn add_service(&mut self, service: &ServiceNode) {
        service.inputs().for_each(|input| self.add_asked(input));
    }

    pub(super) fn add_step(&mut self, step: &Step) {
        let next = match &step.base {
            Fs::Step(base) if can_go_on(base, step) => Some(base.digest),
            _ => None,
        };
        if let Some(base) = next {
            self.add(&base, Use::GoesOn(step.digest));
        }
        for input in step.inputs().filter(|input| Some(input.digest) != next) {
            self.add_asked(input);
        }
    }

    fn add(&mut self, step: &Digest, one: Use) {
        let known = self.of.entry(*step).or_insert(one);
        if *known != one {
            *known = Use::Apart;
        }
    }
}

/// Whether a step finds the same in the container of the one before as in a container of its own.
fn can_go_on(base: &Step, step: &Step) -> bool {
    // What is placed may lie where the engine has files of its own; and that takes the engine as long as a command does.
    step.goes_on && step.places.is_empty() && fits_any(base) && fits_any(step)
}

/// Whether nothing but its process, and what is said of each process, distinguishes the container of a step from others of
/// the same image.
fn fits_any(step: &Step) -> bool {
    let Config { image, env: _, workdir: _, user: _, entrypoint: _, hostname, security, limits, labels } =
        &*step.config;
    step.args.is_some()
        && !step.is_volatile
        && step.mounts.is_empty()
        && step.bindings.is_empty()
        && hostname.is_none()
        && *security == SecurityContext::default()
        && *limits == Limits::default()
        && labels.is_empty()
        && image.as_ref().is_none_or(|image| image.platform.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Requirements, lower_container};
    use crate::value::Container;

    /// For each step, from the first, whether the next one may run in its container.
    fn continued(container: &Container, others: &[&Container]) -> Vec<bool> {
        let node = lower_container(container).unwrap();
        let mut uses = Requirements::of_fs(&node.fs).uses;
        for other in others {
            uses.extend(&Requirements::of_fs(&lower_container(other).unwrap().fs).uses);
        }
        let mut found = Vec::new();
        let mut fs = &node.fs;
        while let Fs::Step(step) = fs {
            found.push(uses.next_of(&step.digest).is_some());
            fs = &step.base;
        }
        found.reverse();
        found
    }

    fn image() -> Container {
        Container::from_image("busybox:1.35")
    }

    #[test]
    fn steps_of_one_container_go_on_and_the_last_is_asked_for() {
        let chain = image().shell("a").workdir("/srv").user("1").env("A", "b").shell("b").shell("c");
        assert_eq!(continued(&chain, &[]), [true, true, false]);
        assert_eq!(continued(&chain, &[&chain]), [true, true, false], "asked for twice");
    }

    #[test]
    fn nobody_goes_on_from_where_another_value_ends() {
        let a = image().shell("a");
        let b = a.clone().shell("b").shell("c");
        assert_eq!(continued(&b, &[]), [false, true, false], "`a` is there");
        let c = a.shell("d");
        assert_eq!(continued(&c, &[]), [false, false], "`b` went on from it");
        let named = image().shell("a");
        let other = named.clone().named("other").shell("b");
        assert_eq!(continued(&other, &[]), [false, false]);
        drop(named);
        let from = image().shell("a");
        assert_eq!(
            continued(&Container::from_container(&from).shell("b").shell("c"), &[]),
            [false, true, false]
        );
        let file = image().shell("a");
        let read = file.file("/id");
        assert_eq!(continued(&file.shell("b"), &[]), [false, false], "its file may be asked for");
        drop(read);
    }

    #[test]
    fn what_others_need_is_theirs_too() {
        let chain = |last: &str| image().shell("a").shell("b").shell(last);
        assert_eq!(continued(&chain("c"), &[]), [true, true, false]);
        assert_eq!(continued(&chain("c"), &[&chain("d")]), [true, false, false]);
        assert_eq!(continued(&chain("c"), &[&image().shell("a").shell("b")]), [true, false, false]);
        let copied = image().shell("a");
        let taking = image().shell("x").copy("/id", copied.file("/id")).shell("y");
        assert_eq!(continued(&image().shell("a").shell("b"), &[&taking]), [false, false]);
    }

    #[test]
    fn a_container_with_anything_of_its_own_is_its_own() {
        let service = crate::value::Service::from_image("redis:7").expose(6379);
        let set: [fn(Container) -> Container; 9] = [
            |one| one.privileged(),
            |one| one.tmpfs("/tmp"),
            |one| one.limit_pids(10),
            |one| one.with_hostname("other"),
            |one| one.label("a", "b"),
            |one| one.sysctl("net.core.somaxconn", "1024"),
            |one| one.cap_drop("CHOWN"),
            |one| one.with_file("/a", "b"),
            |one| one.mount("/cache", crate::CacheVolume::new("test")),
        ];
        for (number, set) in set.into_iter().enumerate() {
            let found = continued(&set(image().shell("a")).shell("b").shell("c"), &[]);
            // What is written stays, and is no other's in the next step.
            let expected = if number == 7 { [false, true, false] } else { [false, false, false] };
            assert_eq!(found, expected, "{number}");
        }
        let bound = image().shell("a").bind("db", &service).shell("b").shell("c");
        assert_eq!(continued(&bound, &[]), [false, false, false]);
        let platform = image().platform("linux/arm64").shell("a").shell("b");
        assert_eq!(continued(&platform, &[]), [false, false]);
        let uncached = image().shell("a").exec(crate::Exec::shell("b").uncached()).shell("c");
        assert_eq!(continued(&uncached, &[]), [false, false, false]);
    }
}
