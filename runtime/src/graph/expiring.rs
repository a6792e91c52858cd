//! Which results may be too old for what is made of them.

use std::collections::HashSet;
use std::sync::Arc;

use super::node::{Expiring, ServiceNode, Step};

/// Those that are before a step.
pub(super) fn before_step(step: &Step) -> Expiring {
    let prepared = step.prepared().map(|prepared| &prepared.service);
    nearest(step.inputs(), step.bindings.iter().map(|binding| &binding.service).chain(prepared))
}

/// Those that are before a service.
pub(super) fn before_service(service: &ServiceNode) -> Expiring {
    let prepared = service.prepared().map(|prepared| &prepared.service);
    nearest(service.inputs(), service.bindings.iter().map(|binding| &binding.service).chain(prepared))
}

/// The nearest steps that expire, of those before a step or service and before the services that it needs.
fn nearest<'a>(
    inputs: impl Iterator<Item = &'a Arc<Step>>,
    services: impl Iterator<Item = &'a Arc<ServiceNode>>,
) -> Expiring {
    let mut all: Vec<Expiring> = Vec::new();
    for input in inputs {
        match input.options.fresh {
            Some(_) => all.push([input.clone()].into()),
            None => all.push(input.expiring.clone()),
        }
    }
    all.extend(services.map(|service| service.expiring.clone()));
    all.retain(|steps| !steps.is_empty());
    // Most steps have one before them: what follows a step that expires shares one list.
    if all.windows(2).all(|pair| matches!(pair, [one, other] if Arc::ptr_eq(one, other))) {
        return all.pop().unwrap_or_default();
    }
    let mut seen = HashSet::new();
    let each = all.iter().flat_map(|steps| steps.iter()).filter(|step| seen.insert(Arc::as_ptr(step)));
    each.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Fs, lower_container};
    use super::*;
    use crate::value::{Container, Exec, Service};

    fn expiring(container: &Container) -> Expiring {
        match &lower_container(container).unwrap().fs {
            Fs::Step(step) => step.expiring.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn commands(container: &Container) -> Vec<String> {
        let mut commands: Vec<_> =
            expiring(container).iter().map(|step| step.args.clone().unwrap().join(" ")).collect();
        commands.sort();
        commands
    }

    fn update(name: &str) -> Container {
        Container::from_image("a:1").exec(Exec::new(["update", name]).fresh("1h"))
    }

    #[test]
    fn a_step_knows_the_nearest_steps_that_expire_before_it_and_its_services() {
        assert_eq!(commands(&update("a")), [""; 0], "it is looked at itself");
        let chain = update("a").exec(["x"]).exec(["y"]);
        assert_eq!(commands(&chain), ["update a"]);
        assert_eq!(commands(&chain.clone().exec(Exec::new(["z"]).fresh("1h")).exec(["end"])), ["z"]);
        let copied = chain.clone().copy("/b", update("b").directory("/b")).after(&update("c")).exec(["end"]);
        assert_eq!(commands(&copied), ["update a", "update b", "update c"]);
        let web = Service::from_container(&chain).expose(80);
        let app = Service::from_image("a:1").bind("web", &web).expose(80);
        assert_eq!(commands(&Container::from_image("a:1").bind("app", &app).exec(["end"])), ["update a"]);
        assert_eq!(commands(&Container::from_image("a:1").exec(["end"])), [""; 0]);
    }

    #[test]
    fn what_follows_one_step_shares_one_list() {
        let first = update("a").exec(["x"]);
        let (left, right) = (first.clone().exec(["left"]), first.clone().exec(["right"]));
        let joined = left.after(&right).exec(["end"]);
        let node = lower_container(&joined).unwrap();
        let Fs::Step(last) = &node.fs else { panic!("it has steps") };
        for input in last.inputs() {
            assert!(Arc::ptr_eq(&input.expiring, &last.expiring));
        }
        assert_eq!(last.expiring.len(), 1);
    }
}
