//! What the project is made of, held against what it says of that: `deny.toml`, and the version of Rust that it asks for.
//! `cargo deny check` says the same and more, such as advisories; it takes long to build, and asks the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

/// The file, of which this knows every key: another one would be a promise that nobody keeps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Deny {
    graph: Graph,
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Graph {
    targets: Vec<String>,
    all_features: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licenses {
    /// Of texts, which only `cargo deny` reads.
    #[serde(rename = "confidence-threshold")]
    _confidence_threshold: f64,
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    allow: Vec<String>,
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    wildcards: String,
    allow_wildcard_paths: bool,
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

/// What cargo says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    rust_version: Option<String>,
    /// `None` for a path.
    source: Option<String>,
    /// The registries that it may be published to; `None` for any.
    publish: Option<Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` for what is linked into programs.
    kind: Option<String>,
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static DENY: LazyLock<Deny> = LazyLock::new(|| toml::from_str(&read("deny.toml")).unwrap());

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(ROOT).args(["metadata", "--format-version", "1", "--locked"]);
    if DENY.graph.all_features {
        cargo.arg("--all-features");
    }
    for target in &DENY.graph.targets {
        cargo.args(["--filter-platform", target]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
});

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

impl Package {
    fn shown(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn licence(&self) -> Option<Expression> {
        Expression::parse_mode(self.license.as_deref()?, ParseMode::LAX).ok()
    }
}

fn licensees(words: &[String]) -> Vec<Licensee> {
    words.iter().map(|word| Licensee::parse(word).unwrap()).collect()
}

/// Fails with all findings, as whoever mends one wants to see the next.
#[track_caller]
fn none(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = licensees(&DENY.licenses.allow);
    let wrong = |package: &Package| {
        let of_crate = DENY.licenses.exceptions.iter().filter(|exception| exception.name == package.name);
        let more: Vec<Licensee> = of_crate.flat_map(|exception| licensees(&exception.allow)).collect();
        let is_allowed =
            |licence: &spdx::LicenseReq| allowed.iter().chain(&more).any(|one| one.satisfies(licence));
        !package.licence().is_some_and(|expression| expression.evaluate(is_allowed))
    };
    none(METADATA.packages.iter().filter(|package| wrong(package)).map(|package| {
        let licence = package.license.as_deref().unwrap_or("none that it names");
        format!("{} has the licence {licence}, which deny.toml does not allow", package.shown())
    }));
}

#[test]
fn every_licence_that_is_allowed_is_one_of_a_dependency() {
    let all: Vec<(&str, Expression)> =
        METADATA.packages.iter().filter_map(|package| Some((&*package.name, package.licence()?))).collect();
    let is_needed = |word: &str, of: Option<&str>| {
        let licensee = Licensee::parse(word).unwrap();
        let of_crate = all.iter().filter(|(name, _)| of.is_none_or(|of| of == *name));
        of_crate.flat_map(|(_, licence)| licence.requirements()).any(|one| licensee.satisfies(&one.req))
    };
    let allowed = DENY.licenses.allow.iter().filter(|word| !is_needed(word, None)).cloned();
    let exceptions = DENY.licenses.exceptions.iter().flat_map(|exception| {
        let useless = exception.allow.iter().filter(|word| !is_needed(word, Some(&exception.name)));
        useless.map(|word| format!("{word} of {}", exception.name))
    });
    none(allowed.chain(exceptions).map(|licence| format!("deny.toml allows {licence}, which nothing has")));
}

#[test]
fn no_dependency_is_banned_or_from_elsewhere_or_of_any_version() {
    let Bans { multiple_versions, wildcards, allow_wildcard_paths, deny } = &DENY.bans;
    let Sources { unknown_registry, unknown_git } = &DENY.sources;
    // What this test holds, and what it does not.
    assert_eq!((&**wildcards, &**unknown_registry, &**unknown_git), ("deny", "deny", "deny"));
    assert_eq!(multiple_versions, "warn");
    let banned = METADATA.packages.iter().flat_map(|package| {
        let bans = deny.iter().filter(|ban| ban.name == package.name);
        bans.map(|ban| format!("{} is banned: {}", package.shown(), ban.reason))
    });
    let default = "registry+https://github.com/rust-lang/crates.io-index";
    let elsewhere = METADATA
        .packages
        .iter()
        .filter(|package| package.source.as_deref().is_some_and(|source| source != default));
    let ours = METADATA.packages.iter().filter(|package| package.source.is_none());
    let any = ours.flat_map(|package| {
        let is_published = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
        let is_any = move |dependency: &&Dependency| {
            let may_be = *allow_wildcard_paths && dependency.path.is_some() && !is_published;
            dependency.req == "*" && !may_be
        };
        let any = package.dependencies.iter().filter(is_any);
        any.map(|dependency| format!("{} takes any version of {}", package.name, dependency.name))
    });
    none(banned.chain(elsewhere.map(|package| format!("{} is from elsewhere", package.shown()))).chain(any));
}

/// As numbers: `1.88`, `1.88.0`.
fn version(text: &str) -> Vec<u64> {
    let mut parts: Vec<u64> = text.split('.').map(|part| part.parse().unwrap()).collect();
    parts.resize(3, 0);
    parts
}

/// Of what users of the published crates compile: the lint `incompatible_msrv` holds the crates themselves against it.
#[test]
fn no_dependency_of_what_is_published_asks_for_a_newer_rust_than_the_project_does() {
    let packages: BTreeMap<&str, &Package> =
        METADATA.packages.iter().map(|package| (&*package.id, package)).collect();
    let nodes: BTreeMap<&str, &Node> = METADATA.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
    let of_program = |name: &str| METADATA.packages.iter().find(|package| package.name == name).unwrap();
    let ours = of_program("bowline").rust_version.as_deref().unwrap();
    let mut left = vec![of_program("bowline"), of_program("bowline-macros")];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(package) = left.pop() {
        if seen.insert(&package.id) {
            let edges = nodes[&*package.id].deps.iter();
            let is_compiled = |edge: &&Edge| {
                edge.dep_kinds.iter().any(|kind| kind.kind.as_deref().is_none_or(|kind| kind == "build"))
            };
            left.extend(edges.filter(is_compiled).map(|edge| packages[&*edge.pkg]));
        }
    }
    assert!(seen.len() > 100, "{}", seen.len());
    none(seen.iter().filter_map(|id| {
        let asked = packages[id].rust_version.as_deref()?;
        let is_newer = version(asked) > version(ours);
        is_newer.then(|| format!("{} asks for Rust {asked}, the project for {ours}", packages[id].shown()))
    }));
    for (file, says) in [
        ("README.md", format!("Rust {ours} or newer")),
        ("CONTRIBUTING.md", format!("Rust {ours} or newer")),
        ("runtime/src/guide/ci.md", format!("rust:{ours}")),
    ] {
        assert!(read(file).contains(&says), "{file} does not say `{says}`");
    }
}
