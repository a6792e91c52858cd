//! Tests of which fields count for an identity, one by one.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{CacheUse, Location, Port, SessionId, Snapshot};
use crate::value::Check;

/// Whether changing a field changes the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Counts,
    /// Counts for commands of which every exit code is a result.
    CountsIfItMayFail,
    IsLeftOut,
}
use Field::{Counts, CountsIfItMayFail, IsLeftOut};

type Change<N> = (&'static str, Field, fn(&mut N, u64));
type Set = Box<dyn Fn(&mut Config, u64)>;

/// All fields of a node, each with its expected effect and a function from a number to a value. A missing field does not
/// compile.
macro_rules! fields {
    ($node:ident { $($field:ident: $is:ident = $set:expr),* $(,)? }) => {{
        let _ = |node: $node| {
            let $node { $($field: _),* } = node;
        };
        let changes: Vec<Change<$node>> = vec![$((stringify!($field), $is, |node: &mut $node, number: u64| {
            #[allow(clippy::redundant_closure_call)]
            {
                node.$field = ($set)(number);
            }
        })),*];
        changes
    }};
}

fn named(number: u64) -> crate::model::Hostname {
    text(number).into()
}

fn text(number: u64) -> String {
    format!("text{number}")
}

fn small(number: u64) -> u32 {
    u32::try_from(number % 1_000_000).unwrap_or_default()
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Digest(bytes)
}

fn here() -> Location {
    Location::caller()
}

/// One of two locations.
fn there(number: u64) -> Location {
    if number.is_multiple_of(2) { Location::caller() } else { here() }
}

fn image(number: u64) -> ImageName {
    ImageName::new(&text(number))
}

fn file(number: u64) -> Place {
    Place::File { path: "/file".to_owned(), contents: text(number).into_bytes().into() }
}

fn cache(number: u64) -> Mount {
    Mount {
        path: "/mounted".to_owned(),
        source: MountSource::Cache(CacheUse::from(&*text(number))),
        access: Access::ReadWrite,
    }
}

fn binding(number: u64) -> Binding {
    Binding { service: service(number).into(), aliases: vec![text(number)] }
}

fn config() -> Vec<Change<Config>> {
    fields!(Config {
        image: IsLeftOut = |number| Some(image(number)),
        env: Counts = |number| [("NAME".to_owned(), Var::Plain(text(number)))].into(),
        workdir: Counts = |number| Some(text(number)),
        user: Counts = |number| Some(text(number)),
        entrypoint: IsLeftOut = |number| Some(vec![text(number)]),
        hostname: Counts = |number| Some(text(number)),
        // Each of their fields by itself: `security` and `limits`.
        security: IsLeftOut = |_| SecurityContext::default(),
        limits: IsLeftOut = |_| Limits::default(),
        labels: IsLeftOut = |number| [("label".to_owned(), text(number))].into(),
    })
}

fn capabilities(number: u64) -> Capabilities {
    let grant = if number.is_multiple_of(2) { Grant::Added } else { Grant::Dropped };
    Capabilities { all: None, single: [(text(number), grant)].into() }
}

fn security() -> Vec<Change<SecurityContext>> {
    fields!(SecurityContext {
        privileged: Counts = |number| number % 2 == 0,
        capabilities: Counts = capabilities,
        sysctls: Counts = |number| [("net.core.somaxconn".to_owned(), text(number))].into(),
    })
}

fn limits() -> Vec<Change<Limits>> {
    fields!(Limits {
        cpu: CountsIfItMayFail = |number| Some(f64::from(small(number))),
        memory: CountsIfItMayFail = Some,
        pids: CountsIfItMayFail = |number| Some(small(number)),
        nofile: CountsIfItMayFail = |number| Some(small(number)),
        core: CountsIfItMayFail = Some,
        shm: CountsIfItMayFail = Some,
    })
}

/// The changes of all that a configuration has.
fn configs() -> impl Iterator<Item = (&'static str, Field, Set)> {
    let own = config().into_iter().map(|(field, is, set)| {
        let set: Set = Box::new(set);
        (field, is, set)
    });
    let security = security().into_iter().map(|(field, is, set)| {
        let set: Set = Box::new(move |config, number| set(&mut config.security, number));
        (field, is, set)
    });
    let limits = limits().into_iter().map(|(field, is, set)| {
        let set: Set = Box::new(move |config, number| set(&mut config.limits, number));
        (field, is, set)
    });
    own.chain(security).chain(limits)
}

fn options() -> Vec<Change<ExecOptions>> {
    fields!(ExecOptions {
        stdin: Counts = |number| Some(text(number).into_bytes().into()),
        expect: Counts = |number| if number % 2 == 0 { Expect::Any } else { Expect::Failure },
        timeout: IsLeftOut = |number| Some(Duration::from_secs(number)),
        stdout: Counts = |number| Some(text(number)),
        stderr: Counts = |number| Some(text(number)),
        fresh: IsLeftOut = |number| Some(Duration::from_secs(number)),
        uncached: Counts = |number| number % 2 == 0,
    })
}

fn steps() -> Vec<Change<Step>> {
    fields!(Step {
        digest: IsLeftOut = digest,
        name: IsLeftOut = |number| text(number).into(),
        // A definition that moves in its file keeps its identity, so that its results are found.
        locations: IsLeftOut = |number| vec![there(number)].into(),
        base: Counts = |number| Fs::Image(image(number), here()),
        places: Counts = |number| vec![file(number)],
        args: Counts = |number| Some(vec![text(number)]),
        // The fields of `options` and `config` are tested by themselves.
        options: IsLeftOut = |_| ExecOptions::default(),
        is_volatile: IsLeftOut = |number| number % 2 == 0,
        expiring: IsLeftOut = |number| [step(number).into()].into(),
        goes_on: IsLeftOut = |number| number % 2 == 0,
        config: IsLeftOut = |_| Arc::default(),
        mounts: Counts = |number| vec![cache(number)],
        bindings: Counts = |number| vec![binding(number)],
        after: Counts = |number| vec![step(number).into()],
    })
}

fn services() -> Vec<Change<ServiceNode>> {
    fields!(ServiceNode {
        digest: IsLeftOut = digest,
        hostname: IsLeftOut = named,
        name: IsLeftOut = |number| text(number).into(),
        // A definition that moves in its file keeps its identity, so that its results are found.
        locations: IsLeftOut = |number| vec![there(number)].into(),
        base: Counts = |number| ServiceBase::Fs(Fs::Image(image(number), here())),
        places: Counts = |number| vec![file(number)],
        config: IsLeftOut = |_| Arc::default(),
        mounts: Counts = |number| vec![cache(number)],
        bindings: Counts = |number| vec![binding(number)],
        run: Counts = |number| Some(vec![text(number)]),
        instance: Counts = |number| Some(text(number)),
        is_shared: Counts = |number| number % 2 == 0,
        ports: IsLeftOut = |number| vec![Port::tcp(u16::try_from(number % 60_000).unwrap() + 1)],
        ready: IsLeftOut = |number| vec![(Check::Ports, Duration::from_secs(number))],
        within: IsLeftOut = Duration::from_secs,
        stop: IsLeftOut = |number| Some(("SIGINT", Duration::from_secs(number))),
        linger: IsLeftOut = Duration::from_secs,
        expiring: IsLeftOut = |number| [step(number).into()].into(),
    })
}

/// A step with a value in each field, so that a change replaces it.
fn step(number: u64) -> Step {
    Step {
        digest: digest(number),
        name: "step".into(),
        locations: vec![here()].into(),
        base: Fs::Image(image(number), here()),
        places: vec![file(number)],
        args: Some(vec![text(number)]),
        options: ExecOptions::default(),
        is_volatile: false,
        expiring: Arc::default(),
        goes_on: false,
        config: Arc::default(),
        mounts: vec![cache(number)],
        bindings: Vec::new(),
        after: Vec::new(),
    }
}

fn service(number: u64) -> ServiceNode {
    ServiceNode {
        digest: digest(number),
        hostname: named(number),
        name: "service".into(),
        locations: vec![here()].into(),
        base: ServiceBase::Fs(Fs::Image(image(number), here())),
        places: vec![file(number)],
        config: Arc::default(),
        mounts: vec![cache(number)],
        bindings: Vec::new(),
        run: Some(vec![text(number)]),
        instance: None,
        is_shared: false,
        ports: Vec::new(),
        ready: Vec::new(),
        within: Duration::from_secs(60),
        stop: None,
        linger: Duration::ZERO,
        expiring: Arc::default(),
    }
}

/// The servers of two host services are one if their answers follow from the ports.
#[test]
fn a_server_is_told_by_its_address_unless_it_is_cached() {
    let server = |port, at, is_cached| {
        let address = HostAddress { host: None, port: at };
        let base = ServiceBase::Server(HostServer { forwards: vec![(Port::tcp(port), address)], is_cached });
        of_service(&ServiceNode { base, ..service(1) }).0
    };
    assert_ne!(server(80, 1, false), server(80, 2, false));
    assert_eq!(server(80, 1, true), server(80, 2, true));
    assert_ne!(server(80, 1, true), server(81, 1, true));
    assert_ne!(server(80, 1, true), server(80, 1, false));
}

/// Other processes reach the ports of a shared service that it exposes, and no others.
#[test]
fn ports_count_where_processes_share_a_service() {
    let exposing = |is_shared, ports: &[Port]| {
        of_service(&ServiceNode { is_shared, ports: ports.to_vec(), ..service(1) }).0
    };
    let (http, dns) = (Port::tcp(80), Port::udp(53));
    let both = [http.clone(), dns.clone()];
    assert_eq!(exposing(false, &both), exposing(false, &[]));
    assert_ne!(exposing(true, &both), exposing(true, std::slice::from_ref(&http)));
    assert_ne!(exposing(true, &[]), exposing(false, &[]));
    let named = [dns.unprobed(), http.named("http").on_host(8080)];
    assert_eq!(exposing(true, &both), exposing(true, &named));
}

fn of_step(step: &Step) -> (Digest, Fields) {
    Identities { session: Some("session".to_owned()), ..Identities::default() }.fields_of_step(step)
}

fn of_service(service: &ServiceNode) -> (Digest, Fields) {
    Identities::default().fields_of_service(service)
}

/// Checks for two nodes that differ in one field whether the identity changes, and that this one field's hash shows it.
fn check(field: &str, is: Field, (a, of_a): (Digest, Fields), (b, of_b): (Digest, Fields)) {
    let differ: Vec<_> = of_a.iter().zip(&of_b).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
    match is {
        Counts => assert!(a != b && differ.len() == 1, "{field}: {differ:?}"),
        _ => assert!(a == b && differ.is_empty(), "{field}: {differ:?}"),
    }
}

fn both<N>(make: impl Fn() -> N, set: impl Fn(&mut N, u64), numbers: (u64, u64)) -> (N, N) {
    let (mut a, mut b) = (make(), make());
    set(&mut a, numbers.0);
    set(&mut b, numbers.1);
    (a, b)
}

proptest! {
    #[test]
    fn every_field_of_every_node_counts_or_does_not_as_the_table_says(
        base in 0_u64..1000,
        // One even and one odd number, for fields with two values.
        first in (0_u64..1000).prop_map(|number| 2 * number),
        second in (0_u64..1000).prop_map(|number| 2 * number + 1),
    ) {
        let numbers = (first, second);
        for (field, is, set) in steps() {
            let (a, b) = both(|| step(base), set, numbers);
            check(field, is, of_step(&a), of_step(&b));
        }
        for (field, is, set) in services() {
            let (a, b) = both(|| service(base), set, numbers);
            check(field, is, of_service(&a), of_service(&b));
        }
        for (field, is, set) in options() {
            let (a, b) = both(|| step(base), |step, number| set(&mut step.options, number), numbers);
            check(field, is, of_step(&a), of_step(&b));
        }
        for (field, is, set) in configs() {
            for expect in [Expect::Success, Expect::Failure, Expect::Any] {
                let make = || Step { options: ExecOptions { expect, ..ExecOptions::default() }, ..step(base) };
                let change = |step: &mut Step, number| set(Arc::make_mut(&mut step.config), number);
                let (a, b) = both(make, change, numbers);
                let is = match is {
                    CountsIfItMayFail if expect != Expect::Success => Counts,
                    is => is,
                };
                check(field, is, of_step(&a), of_step(&b));
            }
            let change = |service: &mut ServiceNode, number| set(Arc::make_mut(&mut service.config), number);
            let (a, b) = both(|| service(base), change, numbers);
            let is = if field == "entrypoint" { Counts } else { is };
            check(field, is, of_service(&a), of_service(&b));
        }
    }
}

/// All variants differ from each other and from absence.
#[test]
fn kinds_of_files_mounts_and_variables_differ() {
    let host =
        |path: &str, kind| Fs::Local(Arc::new(LocalSource { path: PathBuf::from(path), kind }), here());
    let directory = |include: &[&str], exclude: &[&str], ignore_files| LocalKind::Directory {
        include: include.iter().map(ToString::to_string).collect(),
        exclude: exclude.iter().map(ToString::to_string).collect(),
        ignore_files,
    };
    let held = |name: &str, session| {
        let snapshot = Snapshot(name.to_owned());
        Fs::Held(Arc::new(Held {
            snapshot,
            session: SessionId::from(text(session)),
            config: Arc::default(),
            mounts: Vec::new(),
            bindings: Vec::new(),
            pins: Arc::new(()),
        }))
    };
    let platform = |platform: &str| ImageName { platform: Some(platform.into()), ..image(1) };
    let bases = [
        Fs::Image(image(1), here()),
        Fs::Image(platform("linux/amd64"), here()),
        Fs::Image(platform("linux/arm64"), here()),
        host("a", LocalKind::File),
        host("b", LocalKind::File),
        host("a", directory(&[], &[], IgnoreFiles::Honoured)),
        host("a", directory(&[], &[], IgnoreFiles::Disregarded)),
        host("a", directory(&["a"], &[], IgnoreFiles::Honoured)),
        host("a", directory(&[], &["a"], IgnoreFiles::Honoured)),
        held("a", 1),
        held("b", 1),
        Fs::Step(step(1).into()),
        Fs::Step(step(2).into()),
    ];
    let mount = |source, access| Mount { path: "/m".to_owned(), source, access };
    let copy = |from: &str| MountSource::Copy { fs: Fs::Image(image(1), here()), from: from.to_owned() };
    let secret = || crate::value::secret_sources::value("a", "s");
    let (write, read) = (Access::ReadWrite, Access::ReadOnly);
    let mounts = [
        mount(MountSource::Cache("a".into()), write),
        mount(MountSource::Cache("a".into()), read),
        mount(MountSource::Socket("a".to_owned()), write),
        mount(MountSource::Secret(secret()), read),
        mount(MountSource::Memory, write),
        mount(copy("/a"), write),
        mount(copy("/a"), read),
        mount(copy("/a/"), read),
    ];
    let place = |from: &str, to: &str, existing| Place::Copy {
        fs: Fs::Image(image(1), here()),
        from: from.to_owned(),
        to: to.to_owned(),
        existing,
    };
    let places = [
        file(1),
        place("/a", "/a", Existing::Stays),
        place("/a", "/a", Existing::Goes),
        place("/a", "/b", Existing::Stays),
        place("/b", "/a", Existing::Stays),
    ];
    let variables = [Var::Plain("a".to_owned()), Var::Secret(secret())];
    let mut all = vec![step(1)];
    all.extend(bases.into_iter().skip(1).map(|base| Step { base, ..step(1) }));
    all.extend(mounts.into_iter().map(|mount| Step { mounts: vec![mount], ..step(1) }));
    all.extend(places.into_iter().skip(1).map(|place| Step { places: vec![place], ..step(1) }));
    all.extend(variables.into_iter().map(|variable| {
        let env = [("NAME".to_owned(), variable)].into();
        Step { config: Arc::new(Config { env, ..Config::default() }), ..step(1) }
    }));
    all.extend([
        Step { args: None, ..step(1) },
        Step { places: Vec::new(), ..step(1) },
        Step { mounts: Vec::new(), ..step(1) },
    ]);
    let digests: std::collections::HashSet<_> = all.iter().map(|step| of_step(step).0).collect();
    assert_eq!(digests.len(), all.len());
    // The place where an image or a file is named does not matter.
    let source = Arc::new(LocalSource { path: PathBuf::from("a"), kind: LocalKind::File });
    for (a, b) in [
        (Fs::Image(image(1), here()), Fs::Image(image(1), there(0))),
        (Fs::Local(source.clone(), here()), Fs::Local(source.clone(), there(0))),
    ] {
        let of = |base| of_step(&Step { base, ..step(1) });
        assert_eq!(of(a), of(b));
    }
    // An engine's name for a snapshot is only valid in one session.
    let of = |session| of_step(&Step { base: held("a", session), ..step(1) }).0;
    assert_eq!(of(1), of(2));
}

#[test]
fn a_key_takes_an_image_for_what_it_is_and_runs_as() {
    let id = |byte: u64| ContentDigest::of(&byte.to_le_bytes());
    let key = |name: ImageName, id, platform: &str| {
        let resolved = Resolved { id, platform: platform.to_owned() };
        let images = [(name.clone(), resolved)].into();
        let mut identities = Identities::resolved(images, HashMap::new(), "session".to_owned());
        identities.encode_step(&Step { base: Fs::Image(name, here()), ..step(1) })
    };
    let asked = |platform: &str| ImageName { platform: Some(platform.into()), ..image(1) };
    let own = key(image(1), id(1), "linux/amd64");
    // The same image by another tag, or asked for by name, has the same key.
    assert_eq!(key(image(2), id(1), "linux/amd64"), own);
    assert_eq!(key(asked("linux/amd64"), id(1), "linux/amd64"), own);
    assert_ne!(key(image(1), id(2), "linux/amd64"), own);
    assert_ne!(key(image(1), id(1), "linux/arm64"), own);
}
