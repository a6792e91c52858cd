//! Steps that share a service and depend on each other are one unit: each sees what the earlier ones did to the service.
//!
//! While a step waits to run it pins its services, so that they are not stopped between the steps before it and itself.
//! Before it runs, the steps before it whose effects its services have not seen are replayed: see
//! `Evaluation::replay_missing`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::close_failed;
use super::order::{Node, Order};
use super::running::Leases;
use super::steps::{Again, Evaluation, subject};
use super::stored::Need;
use crate::Result;
use crate::event::{EventKind, Outcome, Span};
use crate::graph::{Binding, ServiceNode, Step, closure};
use crate::lock::lock;
use crate::model::Digest;

/// The steps that must have run before this one against services that it uses, and that those services have not seen,
/// earliest first.
///
/// A service that has seen a step has seen everything before that step, as a step runs only after its predecessors were
/// replayed. So the search for what a service lacks ends at the nearest steps that it has seen. Services are identified
/// by key.
fn unseen(
    step: &Arc<Step>,
    services: BTreeSet<Digest>,
    order: &mut Order,
    key: impl Fn(&Arc<ServiceNode>) -> Digest,
    has_seen: impl Fn(&Digest, &Arc<Step>) -> bool,
) -> Vec<Arc<Step>> {
    order.learn(step, &key);
    let mut open = Vec::new();
    ask(&mut open, step.inputs(), &step.bindings, &Arc::new(services));
    let mut asked: HashMap<Digest, BTreeSet<Digest>> = HashMap::new();
    let mut found: Vec<Arc<Step>> = Vec::new();
    let mut listed = HashSet::new();
    while let Some(visit) = open.pop() {
        match visit {
            Visit::Leave(step) => {
                if listed.insert(step.digest) {
                    found.push(step.clone());
                }
            }
            Visit::Step(step, services) => {
                let services = order.used_until(Node::Step(step), services);
                if services.is_empty() || !is_news(&mut asked, step.digest, &services) {
                    continue;
                }
                let used: BTreeSet<_> = closure(&step.bindings).values().map(&key).collect();
                let used = used.into_iter().filter(|used| services.contains(used));
                let (seen, missing): (Vec<_>, Vec<_>) = used.partition(|service| has_seen(service, step));
                if !missing.is_empty() {
                    open.push(Visit::Leave(step));
                }
                let mut rest = services;
                if !seen.is_empty() {
                    Arc::make_mut(&mut rest).retain(|service| !seen.contains(service));
                }
                ask(&mut open, step.inputs(), &step.bindings, &rest);
            }
            Visit::Service(service, services) => {
                let services = order.used_until(Node::Service(service), services);
                if !services.is_empty() && is_news(&mut asked, service.digest, &services) {
                    ask(&mut open, service.inputs(), &service.bindings, &services);
                }
            }
        }
    }
    found
}

/// A node before a step, with the services that are still checked for having seen it.
enum Visit<'a> {
    Step(&'a Arc<Step>, Arc<BTreeSet<Digest>>),
    Service(&'a Arc<ServiceNode>, Arc<BTreeSet<Digest>>),
    /// Everything before this step has been visited.
    Leave(&'a Arc<Step>),
}

fn ask<'a>(
    open: &mut Vec<Visit<'a>>,
    inputs: impl Iterator<Item = &'a Arc<Step>>,
    bindings: &'a [Binding],
    services: &Arc<BTreeSet<Digest>>,
) {
    if services.is_empty() {
        return;
    }
    open.extend(bindings.iter().map(|binding| Visit::Service(&binding.service, services.clone())));
    open.extend(inputs.map(|step| Visit::Step(step, services.clone())));
}

/// Whether some of these services have not been checked for this node yet. Several paths may lead to it.
fn is_news(
    asked: &mut HashMap<Digest, BTreeSet<Digest>>,
    node: Digest,
    services: &Arc<BTreeSet<Digest>>,
) -> bool {
    let before = asked.entry(node).or_default();
    let is_news = !services.is_subset(before);
    before.extend(services.iter());
    is_news
}

impl Evaluation {
    /// Replays what this step relies on: earlier steps against the same services whose effects the running instances have
    /// not seen, because the results came from the cache or the service was restarted.
    pub(super) async fn replay_missing(
        self: &Arc<Self>,
        step: &Arc<Step>,
        leases: &Leases,
        span: &Arc<Span>,
    ) -> Result<()> {
        leases.learn_seen().await?;
        let instances = leases.instances();
        let has_seen = |service: &Digest, step: &Arc<Step>| {
            instances.get(service).is_none_or(|running| running.has_seen(self.key(step)))
        };
        let key_of = |service: &Arc<ServiceNode>| self.service_key(service);
        let services = instances.keys().copied().collect();
        let missing = unseen(step, services, &mut lock(&self.order), key_of, has_seen);
        for ancestor in missing {
            let key = self.key(&ancestor);
            let used: BTreeSet<_> = closure(&ancestor.bindings).values().map(key_of).collect();
            let shared: Vec<_> = used.iter().filter_map(|service| instances.get(service)).collect();
            // The replay of another step may have included this one.
            if shared.iter().all(|running| running.has_seen(key)) {
                continue;
            }
            let generations = shared.iter().map(|running| running.generation).collect();
            let (evaluation, ancestor, parent) = (self.clone(), ancestor.clone(), span.clone());
            let replay = async move {
                let span = parent.child_at(subject(&ancestor), ancestor.locations.all());
                span.emit(|| EventKind::Replayed);
                let result =
                    evaluation.run(ancestor, span.clone(), Again::UnlessSeen, Need::Output).await.map(drop);
                match &result {
                    Ok(()) => span.close(|| Outcome::Succeeded),
                    Err(error) => close_failed(&span, error),
                }
                result
            };
            self.session.replays.get_or_run((key, generations), replay).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::graph::{Fs, lower_container};
    use crate::value::{Container, Service};

    fn service(name: &str) -> Service {
        Service::from_image("redis:7").instance(name).expose(6379)
    }

    fn step(container: &Container) -> Arc<Step> {
        match &lower_container(container).unwrap().fs {
            Fs::Step(step) => step.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The missing steps if each service has seen the steps with these commands, and which service was checked for what.
    fn search(last: &Container, seen: &[(&Service, &[&str])]) -> (Vec<String>, Vec<String>) {
        let (last, asked) = (step(last), RefCell::new(Vec::new()));
        let command = |step: &Step| step.args.as_ref().map(|args| args.join(" ")).unwrap_or_default();
        let has_seen = |service: &Digest, step: &Arc<Step>| {
            asked.borrow_mut().push(command(step));
            let known = seen.iter().find(|(known, _)| known.digest().unwrap() == *service);
            known.is_some_and(|(_, commands)| commands.contains(&&*command(step)))
        };
        let services = closure(&last.bindings).into_keys().collect();
        let missing = unseen(&last, services, &mut Order::default(), |service| service.digest, has_seen)
            .iter()
            .map(|step| command(step))
            .collect();
        (missing, asked.into_inner())
    }

    #[test]
    fn the_search_ends_at_the_nearest_step_that_was_seen() {
        let db = service("db");
        let steps = |range: std::ops::Range<u32>| {
            range.fold(Container::from_image("a:1").bind("db", &db), |chain, n| chain.exec([n.to_string()]))
        };
        let (missing, asked) = search(&steps(0..300), &[(&db, &["298"])]);
        assert_eq!((missing.len(), asked), (0, vec!["298".to_owned()]));
        let (missing, asked) = search(&steps(0..300), &[(&db, &["296"])]);
        assert_eq!(missing, ["297", "298"]);
        assert_eq!(asked, ["298", "297", "296"]);
        let (missing, asked) = search(&steps(0..300), &[]);
        assert_eq!(missing, (0..299).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(asked.len(), 299, "each once");
    }

    /// How much is looked at for all steps of a chain, of which each is bound to the service that it is given for its number.
    fn looks(length: usize, service: impl Fn(usize) -> Arc<ServiceNode>) -> usize {
        let first = step(&Container::from_image("a:1").exec(["true"]));
        let (mut steps, mut base) = (Vec::new(), first.base.clone());
        for number in 0..length {
            let step = Arc::new(Step {
                digest: Digest(crate::sha256::Sha256::digest(number.to_be_bytes())),
                name: first.name.clone(),
                locations: first.locations.clone(),
                base,
                places: Vec::new(),
                args: first.args.clone(),
                options: first.options.clone(),
                is_volatile: false,
                expiring: first.expiring.clone(),
                goes_on: false,
                config: first.config.clone(),
                mounts: Vec::new(),
                bindings: vec![Binding { service: service(number), aliases: vec!["db".to_owned()] }],
                after: Vec::new(),
            });
            base = Fs::Step(step.clone());
            steps.push(step);
        }
        drop(base);
        let (looks, mut order, mut seen) = (std::cell::Cell::new(0), Order::default(), HashSet::new());
        let look = || looks.set(looks.get() + 1);
        for step in &steps {
            let services: BTreeSet<_> = closure(&step.bindings).into_keys().collect();
            let key = |service: &Arc<ServiceNode>| {
                look();
                service.digest
            };
            let has_seen = |service: &Digest, step: &Arc<Step>| {
                look();
                seen.contains(&(*service, step.digest))
            };
            assert_eq!(unseen(step, services.clone(), &mut order, key, has_seen).len(), 0);
            seen.extend(services.into_iter().map(|service| (service, step.digest)));
        }
        // From the end, as each holds the one before it.
        while steps.pop().is_some() {}
        looks.get()
    }

    #[test]
    fn what_the_steps_of_a_chain_cost_grows_with_its_length_alone() {
        let node = |number: usize| crate::graph::lower_service(&service(&number.to_string())).unwrap();
        let few: Vec<_> = (0..7).map(node).collect();
        for bound in [
            &(|_| few[0].clone()) as &dyn Fn(usize) -> Arc<ServiceNode>,
            &|number| few[number % few.len()].clone(),
            &|number| node(number),
        ] {
            let (thousand, ten_thousand) = (looks(1_000, bound), looks(10_000, bound));
            assert!(ten_thousand < 11 * thousand, "{thousand}, {ten_thousand}");
        }
    }

    #[test]
    fn one_service_may_lack_what_lies_before_a_step_that_another_has_seen() {
        let (db, queue) = (service("db"), service("queue"));
        let base = Container::from_image("a:1");
        let publish = base.clone().bind("db", &db).bind("queue", &queue).exec(["publish"]);
        let migrate = base.clone().after(&publish).bind("db", &db).exec(["migrate"]);
        let test = base.after(&migrate).bind("db", &db).bind("queue", &queue).exec(["test"]);
        assert_eq!(search(&test, &[(&db, &["publish", "migrate"])]).0, ["publish"]);
        assert_eq!(search(&test, &[(&queue, &["publish"])]).0, ["publish", "migrate"]);
        assert!(search(&test, &[(&db, &["migrate"]), (&queue, &["publish"])]).0.is_empty());
    }

    #[test]
    fn what_a_service_is_made_of_is_before_its_clients() {
        let db = service("db");
        let seed = Container::from_image("a:1").bind("db", &db).exec(["seed"]);
        let app = Service::from_container(&seed).bind("db", &db).expose(80);
        let test = Container::from_image("a:1").bind("app", &app).exec(["test"]);
        assert_eq!(search(&test, &[]).0, ["seed"]);
    }

    #[test]
    fn a_step_on_two_paths_is_asked_about_once() {
        let db = service("db");
        let base = Container::from_image("a:1").bind("db", &db);
        let mut last = base.clone().exec(["0"]);
        for n in 1..30 {
            // There are 2^30 paths.
            let left = Container::from_container(&last).exec(["left", &n.to_string()]);
            let right = Container::from_container(&last).exec(["right", &n.to_string()]);
            last = base.clone().after(&left).after(&right).exec([n.to_string()]);
        }
        let (missing, asked) = search(&last, &[]);
        assert_eq!(missing.first().map(String::as_str), Some("0"));
        assert_eq!(asked.len(), missing.len());
    }
}
