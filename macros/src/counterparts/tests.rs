//! Every row of the tables: what is said where its words stand, that what it shows is the language, and the documentation
//! that is made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{
    ANY_BODY, Row, Site, advice, ci, compose, dockerfile, find, first_word, folded, is_item, option, ours,
    place,
};
use crate::driver::judged::broken_rules;
use crate::keywords::{self, Kind};

/// The specification's keys of a service and of the top level (compose-spec, `schema/compose-spec.json`).
const COMPOSE: [&str; 98] = [
    "version",
    "name",
    "include",
    "services",
    "models",
    "networks",
    "volumes",
    "secrets",
    "configs",
    "develop",
    "deploy",
    "annotations",
    "attach",
    "build",
    "blkio_config",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_shares",
    "cpu_quota",
    "cpu_period",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "label_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "network_mode",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes_from",
    "working_dir",
    // Any word behind it.
    "x-shared",
    "x-",
];

/// In the order of Docker's reference.
const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

fn tables() -> impl Iterator<Item = &'static Row> {
    [compose::ROWS, dockerfile::ROWS, ci::ROWS].into_iter().flatten()
}

#[test]
fn every_key_and_every_instruction_has_a_counterpart() {
    for word in COMPOSE.iter().chain(&INSTRUCTIONS) {
        assert!(find(word).is_some(), "{word}");
        assert!(find(&word.to_uppercase()).is_some() && find(&word.to_lowercase()).is_some(), "{word}");
    }
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in tables() {
        assert!(!row.forms.is_empty() || !row.note.is_empty(), "{:?} says nothing", row.words);
        row.words.iter().for_each(|word| *rows.entry(folded(word)).or_default() += 1);
    }
    let twice: Vec<_> = rows.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "the second row is never found: {twice:?}");
}

/// What each word says in each place, through the macro; where it is a word of ours, something else is said.
#[test]
fn messages() {
    let mut shown = String::new();
    for word in tables().flat_map(|row| row.words) {
        // What is ours as it is written is theirs in upper case.
        let is_ours = keywords::statement(word).is_some();
        let word = if *word == "x-" { "x-shared" } else { word };
        let word = if is_ours { word.to_uppercase() } else { word.to_owned() };
        let mut said: Vec<(String, Vec<&str>)> = Vec::new();
        for (place, source) in [
            ("between items", format!("{word}: y;")),
            ("in a service", format!("service s {{ image \"x:1\"; expose 80; {word}: y; }}")),
            ("in a container", format!("container c {{ image \"x:1\"; {word}: y; }}")),
        ] {
            let broken = broken_rules(format!("::bowline; {source}").parse().unwrap());
            let mut foreign = broken.iter().filter(|(rule, _)| *rule == "foreign-word");
            let Some((_, message)) = foreign.next() else {
                let is_known = Kind::of(&word).is_some() || keywords::OPTION.words.contains(&word.as_str());
                assert!(is_known, "{word} {place}: {broken:?}");
                continue;
            };
            assert_eq!(broken.len(), 1, "{word} {place}: {broken:?}");
            let help = message.split_once("help: ").unwrap().1.replace('\n', "\n    ");
            match said.iter_mut().find(|(other, _)| *other == help) {
                Some((_, places)) => places.push(place),
                None => said.push((help, vec![place])),
            }
        }
        let _ = writeln!(shown, "{word}");
        for (help, places) in said {
            let places = if places.len() == 3 { "everywhere".to_owned() } else { places.join(" and ") };
            let _ = writeln!(shown, "  {places}: {help}");
        }
    }
    insta::assert_snapshot!(shown);
}

/// Lines of other languages end without `;`, and each is reported.
#[test]
fn a_pasted_body_is_reported_line_by_line() {
    let compose = "service web {
        image: nginx:1.22
        environment:
            MODE: fast
        ports:
            - \"80:80\"
        healthcheck: { test: [\"CMD\", \"true\"], interval: 5s }
        depends_on: [db]
    }";
    let dockerfile = "container build {
        FROM rust:1.88
        WORKDIR /src
        COPY . .
        RUN cargo build
        HEALTHCHECK CMD true
        CMD [\"/app\"]
    }";
    for (body, lines) in [(compose, [2, 3, 5, 7, 8].as_slice()), (dockerfile, &[2, 3, 4, 5, 6, 7])] {
        let broken = broken_rules(format!("::bowline; {body}").parse().unwrap());
        let at: Vec<usize> =
            broken.iter().filter_map(|(_, message)| message.split_once(':')?.0.parse().ok()).collect();
        assert_eq!(at, lines, "{broken:#?}");
    }
}

/// Where a form stands, with the names that it mentions.
fn placed(form: &str) -> String {
    const NAMES: &str = "
        cache data; cache pip; secret token = secret::env(\"T\"); dir src = host(\"./src\"); dir dist = host(\"./dist\");
        file config = host_file(\"./x\"); service db { image \"x:1\"; expose 80; } service api { image \"x:1\"; expose 80; }
        container base { image \"x:1\"; exec [\"x\"]; } container build { image \"x:1\"; exec [\"x\"]; }
        container migrate { image \"x:1\"; exec [\"x\"]; }";
    let first = first_word(form);
    if is_item(form) {
        return form.replace("{ ... }", "{ image \"x:1\"; }");
    }
    let form = form.replace("{ ... }", "{ }");
    let keyword = keywords::statement(first);
    let base = if ["image", "from"].contains(&first) { "" } else { "image \"x:1\";" };
    if keyword.is_some_and(|keyword| !keyword.fits(Kind::Service)) {
        format!("{NAMES} container here {{ {base} {form} }}")
    } else {
        format!("{NAMES} service here {{ {base} {form} expose 8099; }}")
    }
}

/// Whatever is shown as a form or in a note is written as the language wants it.
#[test]
fn what_is_shown_is_the_language() {
    let mut seen = 0;
    for row in tables() {
        let noted = row.note.split('`').skip(1).step_by(2);
        let starts = |code: &str| keywords::statement(first_word(code)).is_some() || is_item(code);
        let noted = noted.filter(|code| code.ends_with([';', '}']) && !code.contains("...") && starts(code));
        for form in row.forms.iter().copied().chain(noted) {
            let source = placed(form);
            let broken = broken_rules(format!("::bowline; {source}").parse().unwrap());
            assert!(broken.is_empty(), "{form}: {broken:?}");
            seen += 1;
        }
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn the_place_decides_what_is_shown() {
    let said = |word: &str, site| advice(word, site).unwrap_or_default();
    let (service, container) = (Site::Body(Kind::Service), Site::Body(Kind::Container));
    assert!(said("command", service).starts_with("`command` is `run` here: `run ["));
    assert!(said("COMMAND", container).starts_with("`COMMAND` is `exec` here: `exec ["));
    assert!(said("RUN", service).starts_with("`RUN` is `exec` or `shell` here, in a container: "));
    assert!(said("volumes", Site::Items).starts_with("`volumes` is `cache` here: `cache data;`"));
    assert!(said("volumes", container).starts_with("`volumes` is `mount` here: `mount data at"));
    assert!(said("timeout_minutes", Site::Options).starts_with("`timeout_minutes` is `timeout` here: "));
    assert!(said("cpus", service).starts_with("`cpus` is `limit cpu` here: `limit cpu 2.0;`"));
    assert!(said("restart", service).starts_with("`restart` has no counterpart here: "));
    assert_eq!((advice("ports", Site::Options), advice("expoze", service)), (None, None));
}

/// The tables of the guide are generated: `INSTA_UPDATE=always` writes them.
#[test]
fn documented_counterparts() {
    let compose =
        table(compose::ROWS.iter().map(|row| (row, row.words.iter().map(ToString::to_string).collect())));
    let compose = format!(
        "A compose file says what runs on a machine; a pipeline says what a result needs, and runs that. So nothing is\n\
         started, restarted or stopped by name: a service starts just before its first client, is ready before that\n\
         client runs, and ends after its last. What a file says in YAML is said in statements, one a line, with values\n\
         that are Rust's. The compiler knows the words of compose files too, and says what stands for one:\n\n\
         ```text\n\
         error: cannot find statement `ports` in a service\n\n\
         \x20      help: {}\n\
         ```\n\n{compose}",
        advice("ports", Site::Body(Kind::Service)).unwrap().replace("\nnote", "\n       note"),
    );
    let dockerfile = table(INSTRUCTIONS.iter().map(|word| (find(word).unwrap(), vec![(*word).to_owned()])));
    let dockerfile = format!(
        "What a Dockerfile builds is a `container`, whose statements are its instructions, in the same order; a stage is a\n\
         container of its own. Steps are cached as layers are, by what goes into them, and a step may use a service. What\n\
         starts from the result says `from` it, and `p.app.publish(\"registry.example/app:1.2\")` pushes it as an image.\n\
         The compiler knows the instructions too, in upper or lower case, and says what stands for one.\n\n{dockerfile}",
    );
    for (name, text) in [("from_compose.md", compose), ("from_dockerfile.md", dockerfile)] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/guide").join(name);
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text);
    }
}

fn table(rows: impl Iterator<Item = (&'static Row, Vec<String>)>) -> String {
    let mut table = String::from("| there | here | note |\n| --- | --- | --- |\n");
    for (row, words) in rows {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let cells = [words.join(", "), forms(row), row.note.to_owned()];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// All forms, and where those stand that do not stand in any body.
fn forms(row: &Row) -> String {
    let place = |form: &str| match place(form) {
        place if is_item(form) || place == ANY_BODY => String::new(),
        place => format!(" {place}"),
    };
    let shown = row.forms.iter().zip(1..).map(|(form, next)| {
        let place_of_next = row.forms.get(next).map(|form| place(form));
        let place = Some(place(form)).filter(|place| place_of_next.as_ref() != Some(place));
        format!("`{form}`{}", place.unwrap_or_default())
    });
    shown.collect::<Vec<_>>().join("<br>")
}

#[test]
fn words_of_forms() {
    assert_eq!(ours("limit memory \"512MiB\";"), "limit memory");
    assert_eq!(ours("exec [\"make\"] { timeout \"10m\"; }"), "timeout");
    assert_eq!(option("exec [\"make\"] { uncached; }"), Some("uncached; }"));
    assert_eq!(ours("service db = host_service(5432);"), "service");
    assert!(is_item("file config = host_file(\"./x\");") && !is_item("file \"/etc/motd\" = \"x\";"));
}
