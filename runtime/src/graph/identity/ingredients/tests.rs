//! Every change that makes another key is named, and nothing else is.

use super::*;
use crate::graph::lower_container;
use crate::value::{CacheVolume, Container, Secret, Service};

/// What a container's last step is made of.
fn made_of(container: &Container) -> Ingredients {
    let node = lower_container(container).unwrap();
    let Fs::Step(step) = &node.fs else { panic!("it has a step") };
    Identities::default().ingredients(step).0
}

fn base() -> Container {
    let db = Service::from_image("postgres:15").expose(5432).named("db");
    Container::from_image("python:3.11")
        .named("test")
        .env("A", "1")
        .env("TOKEN", &Secret::env("TOKEN"))
        .with_file("/t.py", "print(1)")
        .mount("/cache", CacheVolume::new("pip"))
        .bind("db", &db)
}

#[allow(clippy::needless_pass_by_value, reason = "so that a comparison is one line")]
fn changes(from: Container, to: Container) -> Vec<Change> {
    made_of(&to).changes_since(&made_of(&from))
}

fn run(container: Container) -> Container {
    container.exec(["pytest", "-q", "tests"])
}

#[test]
fn what_has_changed_is_named_part_by_part() {
    let changed = |part: &str| vec![Change::Changed(part.to_owned())];
    let new = |part: &str| vec![Change::New(part.to_owned())];
    let to = |change: fn(Container) -> Container| changes(run(base()), run(change(base())));
    assert_eq!(to(|base| base), []);
    assert_eq!(to(|base| base.env("A", "2")), changed("env A"));
    assert_eq!(to(|base| base.env("B", "2")), new("env B"));
    let file = |contents: &str| run(base().with_file("/u.py", contents));
    assert_eq!(changes(file("1"), file("2")), changed("file /u.py"));
    assert_eq!(to(|base| base.with_file("/u.py", "")), new("file /u.py"));
    assert_eq!(to(|base| base.workdir("/src")), changed("its working directory"));
    assert_eq!(to(|base| base.user("1000")), changed("its user"));
    assert_eq!(to(|base| base.privileged()), changed("privileged"));
    let other = || Service::from_image("redis:7").expose(6379).named("cache");
    assert_eq!(
        to(|base| base.bind("c", &Service::from_image("redis:7").expose(6379).named("cache"))),
        new("service cache (as c)")
    );
    let bound = |version: &str| run(base().bind("c", &other().env("V", version)));
    assert_eq!(changes(bound("1"), bound("2")), changed("env V of service cache"));
    let with = |args: &[&str]| base().exec(args.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(changes(with(&["pytest", "-q"]), with(&["pytest", "-v"])), changed("argument 2"));
    assert_eq!(changes(with(&["pytest", "-q"]), with(&["pytest"])), [Change::Gone("argument 2".to_owned())]);
}

#[test]
fn what_comes_before_is_named_by_what_it_is() {
    let built =
        |version: &str| Container::from_image("debian:12").env("V", version).exec(["make"]).named("build");
    let from = |version: &str| run(Container::from_container(&built(version)).named("test"));
    assert_eq!(
        changes(from("1"), from("2")),
        [
            Change::Changed("container build".to_owned()),
            // What a container starts from gives it its variables.
            Change::Changed("env V".to_owned()),
        ]
    );
    let chain = |first: &str| Container::from_image("debian:12").exec([first]).exec(["make"]).named("build");
    assert_eq!(changes(chain("a"), chain("b")), [Change::Changed("the step before".to_owned())]);
    let after = |version: &str| run(base().after(&built(version)));
    assert_eq!(
        changes(after("1"), after("2")),
        [Change::Changed("container build, which comes before it".to_owned())]
    );
    let image = |name: &str| run(Container::from_image(name));
    assert_eq!(
        changes(image("redis:6"), image("redis:7")),
        [
            Change::New("image docker.io/library/redis:7".to_owned()),
            Change::Gone("image docker.io/library/redis:6".to_owned()),
        ]
    );
}

#[test]
fn of_a_service_it_is_named_what_has_changed_also_of_those_that_it_uses() {
    let web = || Service::from_image("nginx:1.22").expose(80).named("web");
    let db = |version: &str| Service::from_image("postgres:15").env("V", version).expose(5432).named("db");
    let test = |service: Service| run(base().bind("s", &service));
    let to = |from: Service, to: Service| changes(test(from), test(to));
    let changed = |part: &str| vec![Change::Changed(part.to_owned())];
    let new = |part: &str| vec![Change::New(part.to_owned())];
    assert_eq!(to(web(), web().workdir("/srv")), changed("the working directory of service web"));
    assert_eq!(to(web(), web().entrypoint(["/init"])), changed("the entry point of service web"));
    assert_eq!(to(web(), web().instance("2")), changed("the instance of service web"));
    assert_eq!(to(web(), web().with_file("/etc/a", "1")), new("file /etc/a of service web"));
    assert_eq!(to(web(), web().run(["nginx"])), new("argument 1 of service web"));
    let image = Service::from_image("nginx:1.23").expose(80).named("web");
    assert_eq!(
        to(web(), image),
        [
            Change::New("image docker.io/library/nginx:1.23 of service web".to_owned()),
            Change::Gone("image docker.io/library/nginx:1.22 of service web".to_owned()),
        ]
    );
    // Through another service, and beside one that has not changed.
    let over = |version: &str| web().bind("db", &db(version)).bind("other", &db("0").named("other"));
    assert_eq!(to(over("1"), over("2")), changed("env V of service db"));
    assert_eq!(to(web(), web().bind("db", &db("1"))), new("service db (as db) of service web"));
    // Two of one name, of which one has changed.
    let two = |version: &str| run(base().bind("one", &db("1")).bind("two", &db(version)));
    for (from, to) in [("2", "3"), ("3", "2"), ("4", "5"), ("5", "4")] {
        assert_eq!(changes(two(from), two(to)), changed("env V of service db"));
    }
}

#[test]
fn a_step_knows_its_number_in_its_item() {
    let build = Container::from_image("debian:12").exec(["one"]).exec(["two"]).named("build");
    let test = Container::from_container(&build).exec(["three"]).named("test");
    let number = |container: &Container| {
        let node = lower_container(container).unwrap();
        let Fs::Step(step) = &node.fs else { panic!("it has a step") };
        (step.name.to_string(), step.number())
    };
    assert_eq!((number(&build), number(&test)), (("build".to_owned(), 2), ("test".to_owned(), 1)));
}

#[test]
fn what_is_remembered_is_read_back() {
    let made_of = made_of(&run(base()));
    let text = serde_json::to_string(&made_of).unwrap();
    assert_eq!(serde_json::from_str::<Ingredients>(&text).unwrap(), made_of);
    assert!(!text.contains("print(1)"), "hashes, and no contents: {text}");
}
