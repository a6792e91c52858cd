//! What an editor shows in a pipeline, asked of rust-analyzer itself. Runs where `RUST_ANALYZER` names its program.

mod project;
mod server;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use serde_json::{Value, json};

use project::Project;
use server::Server;

const SERVICE: &str = "bind cap copy entrypoint env expose file from hostname image instance label limit linger mount name platform privileged ready run shared shm socket stop sysctl tmpfs user workdir";
const CONTAINER: &str = "after bind cap copy entrypoint env exec export file from hostname image label limit mount name platform privileged shell shm socket sysctl tmpfs user workdir";
const ITEMS: &str = "cache container dir file secret service";

const PIPELINE: &str = r#"        /// The store.
        service redis { image format!("redis:{version}"); expose 6379 as tcp; }
        service web { image "nginx:1"; }
        cache data;
        container ping {
            image "redis:7";
            bind redis as "db";
            mount data at "/data";
            if fast { env FAST = 1; }
            for arg in ["x", "y"] { exec ["echo", arg]; }
            exec ["redis-cli", "-h", "db", "ping"];
            env URL = redis.hostname();
            env A = version.len();
        }"#;

/// The program, with one place of the pipeline edited.
fn edited(from: &str, to: &str) -> String {
    assert_eq!(PIPELINE.matches(from).count(), 1, "{from}");
    program(&PIPELINE.replace(from, to), "p.redis;")
}

fn program(pipeline: &str, after: &str) -> String {
    format!(
        "fn main() {{\n    let version = String::from(\"7\");\n    let fast = true;\n    let p = bowline::pipeline! {{\n{pipeline}\n    }};\n    {after}\n}}\n"
    )
}

struct Editor {
    server: Server,
    failures: Vec<String>,
    asked: usize,
}

impl Editor {
    fn expect<T: PartialEq + Debug>(&mut self, what: &str, found: &T, wanted: &T) {
        self.asked += 1;
        if found != wanted {
            self.failures.push(format!("{what}:\n    found  {found:?}\n    wanted {wanted:?}"));
        }
    }

    fn completions(&mut self, text: &str) -> BTreeSet<String> {
        let answer = self.server.ask_at(text, "textDocument/completion", &json!({}));
        let items = answer.get("items").unwrap_or(&answer).as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item["label"].as_str()).map(str::to_owned).collect()
    }

    /// Exactly these, and nothing of Rust's.
    fn completes(&mut self, text: &str, wanted: &str) {
        let found = self.completions(text).into_iter().collect::<Vec<_>>().join(" ");
        self.expect(&around(text), &found, &wanted.to_owned());
    }

    /// What the only completion puts into the text.
    fn inserts(&mut self, text: &str, wanted: &str) {
        let answer = self.server.ask_at(text, "textDocument/completion", &json!({}));
        let item = &answer.get("items").unwrap_or(&answer)[0];
        let texts = [&item["textEdit"]["newText"], &item["insertText"], &item["label"]];
        let found = texts.iter().find_map(|text| text.as_str()).unwrap_or_default().to_owned();
        self.expect(&format!("inserted at {}", around(text)), &found, &wanted.to_owned());
    }

    fn completes_also(&mut self, text: &str, wanted: &str) {
        let found = self.completions(text);
        let has = found.iter().any(|label| label.split(['(', '…']).next() == Some(wanted));
        self.expect(&format!("{} completes {wanted} ({} others)", around(text), found.len()), &has, &true);
    }

    fn hover(&mut self, text: &str, wanted: &[&str]) {
        let answer = self.server.ask_at(text, "textDocument/hover", &json!({}));
        let shown = answer["contents"]["value"].as_str().unwrap_or_default().to_owned();
        let missing: Vec<_> = wanted.iter().filter(|part| !shown.contains(**part)).collect();
        self.expect(&format!("hover {} shows {shown}", around(text)), &missing, &Vec::new());
    }

    /// Nothing of what is generated, nor of how a type lies in memory; where something is declared, rust-analyzer adds
    /// that by itself (`hover.memoryLayout.enable`).
    fn hover_is_clean(&mut self, text: &str) {
        let answer = self.server.ask_at(text, "textDocument/hover", &json!({}));
        let shown = answer["contents"]["value"].as_str().unwrap_or_default().to_owned();
        let is_declared = ["service ", "container ", "cache "]
            .iter()
            .any(|keyword| around(text).trim_start().starts_with(keyword));
        let noise: &[&str] = if is_declared { &["__"] } else { &["__", "size =", "align =", " Drop"] };
        let noise: Vec<_> = noise.iter().filter(|noise| shown.contains(**noise)).collect();
        self.expect(&format!("hover {} shows {shown}", around(text)), &noise, &Vec::new());
    }

    /// Nothing that the macro has made for itself.
    fn completes_nothing_generated(&mut self, text: &str) {
        let found = self.completions(text);
        let generated: Vec<_> = found.iter().filter(|label| label.starts_with("__")).cloned().collect();
        self.expect(&format!("generated names at {}", around(text)), &generated, &Vec::new());
    }

    /// Where it leads to: the file's name and the text there.
    fn definition(&mut self, text: &str, wanted: &[(&str, &str)]) {
        let answer = self.server.ask_at(text, "textDocument/definition", &json!({}));
        let places = answer.as_array().cloned().unwrap_or_default();
        let found: Vec<(String, String)> = places
            .iter()
            .map(|place| {
                let path = place["uri"].as_str().unwrap_or_default().trim_start_matches("file://").to_owned();
                let is_main = path.ends_with("editor/main.rs");
                let source =
                    if is_main { text.replace('│', "") } else { std::fs::read_to_string(&path).unwrap() };
                let name = Path::new(&path).file_name().unwrap().to_string_lossy().into_owned();
                (name, in_range(&source, &place["range"]))
            })
            .collect();
        let wanted = wanted.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        self.expect(&format!("definition of {}", around(text)), &found, &wanted);
    }

    fn references(&mut self, text: &str, wanted: usize) {
        let context = json!({ "context": { "includeDeclaration": true } });
        let answer = self.server.ask_at(text, "textDocument/references", &context);
        let found = answer.as_array().map_or(0, Vec::len);
        self.expect(&format!("references of {}", around(text)), &found, &wanted);
    }

    /// What the messages advise, in the order of the source.
    fn advises(&mut self, text: &str, wanted: &[&str]) {
        let help = |(_, message): (String, String)| {
            message.split_once("help: ").map(|(_, help)| help.to_owned()).unwrap_or_default()
        };
        let found: Vec<String> = self.diagnostics(text).into_iter().map(help).collect();
        let wanted: Vec<String> = wanted.iter().map(|&help| help.to_owned()).collect();
        self.expect("advice", &found, &wanted);
    }

    /// Renamed everywhere: the old name is gone from the text.
    fn renames(&mut self, text: &str, old: &str, times: usize) {
        let answer = self.server.ask_at(text, "textDocument/rename", &json!({ "newName": "renamed" }));
        let mut edits = Vec::new();
        let changes = answer["changes"].as_object().into_iter().flat_map(|changes| changes.values());
        let documents = answer["documentChanges"].as_array().into_iter().flatten();
        for list in changes.chain(documents.map(|change| &change["edits"])) {
            edits.extend(list.as_array().cloned().unwrap_or_default());
        }
        let plain = text.replace('│', "");
        let good = edits.iter().filter(|edit| in_range(&plain, &edit["range"]) == old).count();
        self.expect(&format!("rename {}", around(text)), &(edits.len(), good), &(times, times));
    }

    /// What is underlined, and what is said of it.
    fn diagnostics(&mut self, text: &str) -> Vec<(String, String)> {
        let answer = self.server.ask_at(text, "textDocument/diagnostic", &json!({}));
        let message = |item: &Value| item["message"].as_str().unwrap_or_default().to_owned();
        let items = answer["items"].as_array().into_iter().flatten();
        items.map(|item| (in_range(text, &item["range"]), message(item))).collect()
    }

    /// The tokens that are underlined and how the messages start.
    fn errors(&mut self, text: &str, wanted: &[(&str, &str)]) {
        let found = self.diagnostics(text);
        let fits = found.len() == wanted.len()
            && wanted.iter().all(|(at, start)| {
                found.iter().any(|(text, message)| text == at && message.starts_with(start))
            });
        self.expect(&format!("errors {found:?}, wanted {wanted:?}"), &fits, &true);
    }
}

/// The line with the cursor, to name a check by.
fn around(text: &str) -> String {
    text.lines().find(|line| line.contains('│')).unwrap_or("no cursor").trim().to_owned()
}

fn in_range(text: &str, range: &Value) -> String {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap();
    let offset = |place: &Value| {
        let start: usize = text.split_inclusive('\n').take(number(&place["line"])).map(str::len).sum();
        start + number(&place["character"])
    };
    text.get(offset(&range["start"])..offset(&range["end"])).unwrap_or_default().to_owned()
}

#[test]
fn editor() {
    let Some(program) = std::env::var("RUST_ANALYZER").ok().filter(|program| !program.is_empty()) else {
        println!("skipped: RUST_ANALYZER names no rust-analyzer");
        return;
    };
    let project = Project::create();
    let server = Server::start(&program, &project.dir, &project.path);
    let mut editor = Editor { server, failures: Vec::new(), asked: 0 };
    words(&mut editor);
    names(&mut editor);
    inside(&mut editor);
    values(&mut editor);
    hovers_and_definitions(&mut editor);
    references(&mut editor);
    errors(&mut editor);
    item_form(&mut editor);
    assert_eq!(project.rustup_calls(), "", "rust-analyzer called rustup");
    println!("{} answers of rust-analyzer", editor.asked);
    assert!(editor.failures.is_empty(), "{}", editor.failures.join("\n\n"));
}

fn words(editor: &mut Editor) {
    let last = "env A = version.len();";
    editor.completes(&edited(last, "│"), CONTAINER);
    editor.completes(&edited(last, "ex│"), CONTAINER);
    editor.completes(&edited("mount data at", "│\nmount data at"), CONTAINER);
    editor.completes(&edited("env FAST = 1;", "│"), CONTAINER);
    editor.completes(&edited("exec [\"echo\", arg];", "e│"), CONTAINER);
    editor.completes(&edited("image \"nginx:1\";", " │ "), SERVICE);
    editor.completes(&edited("image \"nginx:1\";", "image \"nginx:1\"; junk; e│"), SERVICE);
    editor.completes(&program(&format!("{PIPELINE}\n        │"), ""), ITEMS);
    editor.completes(&program(&format!("{PIPELINE}\n        ser│"), ""), ITEMS);
    editor.completes(&program(&format!("        co│\n{PIPELINE}"), ""), ITEMS);
    editor.completes(&program("│", ""), ITEMS);
    editor.completes(
        &edited("image \"nginx:1\";", "image \"x:1\"; expose 80; ready │;"),
        "exec http image log port",
    );
}

fn names(editor: &mut Editor) {
    let bind = "bind redis as \"db\";";
    editor.completes(&edited(bind, "bind │;"), "redis web");
    editor.completes(&edited(bind, "bind re│ as \"db\";"), "redis web");
    editor.completes(&edited(bind, "bind │ as \"db\";"), "redis web");
    editor.completes(&edited(bind, "bind │"), "redis web");
    editor.completes(&edited("mount data at", "mount │ at"), "data");
    editor.completes(&edited("env A = version.len();", "after │;"), "ping");
    let files = edited("cache data;", "cache data; dir source = x(); file config = y(); secret token = z();");
    let last = "env A = version.len();";
    editor.completes(&files.replace(last, "copy │;"), "config source");
    editor.completes(&files.replace(last, "copy so│ to \"/x\";"), "config source");
    editor.completes(&files.replace(last, "mount │;"), "config data source token");
    editor.definition(&files.replace(last, "mount sou│rce at \"/x\";"), &[("main.rs", "source")]);
    let ports = "expose 80 as http; expose 81 as admin; ready http \"/\" on │;";
    editor.completes(&edited("image \"nginx:1\";", &format!("image \"x:1\"; {ports}")), "admin http");
}

/// The words inside of statements.
fn inside(editor: &mut Editor) {
    let last = "env A = version.len();";
    editor.completes(&edited(last, "bind redis │;"), "as");
    editor.inserts(&edited(last, "bind redis a│;"), "as");
    editor.completes(&edited(last, "mount data │;"), "at");
    editor.completes(&edited(last, "mount data at \"/x\" │;"), "readonly");
    editor.completes(&edited(last, "limit │;"), "core cpu memory nofile pids");
    editor
        .completes(&edited(last, "exec [\"x\"] { │ }"), "expect fresh stderr stdin stdout timeout uncached");
    editor.completes(&edited(last, "exec [\"x\"] { expect │; }"), "any failure success");
    editor.completes(&edited(last, "exec [\"x\"] { stdout │; }"), "to");
    editor.completes(&edited("expose 6379 as tcp;", "expose 6379 │;"), "as on unprobed");
    editor.completes(&edited("expose 6379 as tcp;", "expose 6379/│;"), "tcp udp");
    editor.completes(&edited("expose 6379 as tcp;", "expose 6379; ready http \"/\" │;"), "on within");
    editor.completes(&edited("expose 6379 as tcp;", "expose 6379; ready log \"x\" │;"), "times within");
    editor.completes(&edited("expose 6379 as tcp;", "expose 6379; stop \"INT\" w│;"), "within");
    editor.hover(&edited("mount data at", "mount data a│t"), &["pub fn at", "The path is absolute"]);
    editor.hover(&edited("bind redis as", "bind redis a│s"), &["pub fn r#as", "under which alias"]);
    let limit = edited(last, "limit mem│ory \"1GiB\"; exec [\"x\"] { uncached; }");
    editor.hover(&limit, &["pub fn memory", "how much memory"]);
    let limit = edited(last, "limit no│file 64;");
    editor.hover(&limit, &["pub fn nofile", "how many files"]);
    editor.definition(&limit, &[("word.rs", "nofile")]);
    editor.completes(&edited(last, "limit p│;"), "core cpu memory nofile pids");
    let option = edited(last, "exec [\"x\"] { unc│ached; }");
    editor.hover(&option, &["pub fn uncached", "in every run"]);
    editor.definition(&option, &[("option.rs", "uncached")]);
    editor.definition(&edited("mount data at", "mount data a│t"), &[("word.rs", "at")]);
}

fn values(editor: &mut Editor) {
    let value = "version.len();";
    editor.completes_also(&edited(value, "version.│;"), "len");
    editor.completes_also(&edited(value, "version.│\n            env B = 1;"), "len");
    editor.completes_also(&edited(value, "ver│;"), "version");
    editor.completes_also(&edited(value, "│;"), "version");
    for at in ["│;", "ver│;", "version.len();\n for i in 0..│ { env I = i; }\n export (version) as path;"]
    {
        editor.completes_nothing_generated(&edited(value, at));
    }
    editor.completes_nothing_generated(&edited("\"echo\", arg", "\"echo\", │"));
    let looped =
        program(&format!("for i in 0..3 {{ container c {{ image (│); }} }}\n{PIPELINE}"), "p.redis;");
    editor.completes_nothing_generated(&looped);
    editor.completes_also(&edited(value, "redis.│;"), "hostname");
    editor.completes_also(&edited("if fast {", "if fa│ {"), "fast");
    editor.completes_also(&edited("[\"echo\", arg]", "[\"echo\", ar│]"), "arg");
    let half = edited("image \"nginx:1\";", "image ");
    editor.completes_also(&half.replace("p.redis;", "p.│"), "redis");
    editor.completes_also(
        &edited("expose 6379 as tcp;", "expose 6379 as tcp; ex").replace("p.redis;", "p.redis.│"),
        "tcp",
    );
}

fn hovers_and_definitions(editor: &mut Editor) {
    editor.hover(&edited("image \"redis:7\"", "im│age \"redis:7\""), &["pub fn image", "starts from"]);
    editor.hover(&edited("expose 6379", "exp│ose 6379"), &["pub fn expose", "a port that clients reach"]);
    editor.hover(&edited("service web", "ser│vice web"), &["pub fn service", "a server that clients need"]);
    editor.hover(&edited("bind redis", "bind re│dis"), &["The store."]);
    editor.hover(&edited("if fast", "if fa│st"), &["let fast: bool"]);
    for (what, at) in [
        ("bind redis", "bind re│dis"),
        ("service redis", "service re│dis"),
        ("container ping", "container pi│ng"),
        ("mount data", "mount da│ta"),
        ("cache data", "cache da│ta"),
        ("redis.hostname()", "re│dis.hostname()"),
    ] {
        editor.hover_is_clean(&edited(what, at));
    }
    editor.hover(&edited("mount data", "mount da│ta"), &["data: CacheVolume"]);
    editor.definition(&edited("bind redis", "bind re│dis"), &[("main.rs", "redis")]);
    editor.definition(&edited("mount data", "mount da│ta"), &[("main.rs", "data")]);
    editor.definition(&edited("redis.hostname()", "re│dis.hostname()"), &[("main.rs", "redis")]);
    editor.definition(&edited("[\"echo\", arg]", "[\"echo\", ar│g]"), &[("main.rs", "arg")]);
    editor.definition(&edited("exec [\"redis-cli\"", "ex│ec [\"redis-cli\""), &[("container.rs", "exec")]);
    editor.definition(&edited("cache data", "ca│che data"), &[("item.rs", "cache")]);
    let outside = edited("redis.hostname()", "1").replace("p.redis;", "p.re│dis;");
    editor.definition(&outside, &[("main.rs", "redis")]);
    let method = edited("redis.hostname()", "1").replace("p.redis;", "p.redis.tc│p();");
    editor.definition(&method, &[("main.rs", "tcp")]);
}

/// The declaration, `bind redis`, `redis.hostname()` and `p.redis`.
fn references(editor: &mut Editor) {
    editor.references(&edited("service redis", "service re│dis"), 4);
    editor.references(&edited("bind redis", "bind re│dis"), 4);
    editor.renames(&edited("service redis", "service re│dis"), "redis", 4);
    editor.renames(&edited("bind redis", "bind re│dis"), "redis", 4);
    editor.renames(&edited("redis.hostname()", "re│dis.hostname()"), "redis", 4);
    editor.renames(&edited("mount data", "mount da│ta"), "data", 2);
}

fn errors(editor: &mut Editor) {
    editor.errors(&program(PIPELINE, ""), &[]);
    editor.errors(&edited("bind redis", "bind rediz"), &[("rediz", "cannot find service `rediz`")]);
    editor.errors(&edited("expose 6379", "expoze 6379"), &[("expoze", "cannot find statement `expoze`")]);
    editor.errors(&edited("service web", "servce web"), &[("servce", "cannot find item `servce`")]);
    editor.errors(&edited("expose 6379 as", "expose true as"), &[("true", "expected u16")]);
    editor
        .errors(&edited("expose 6379 as tcp", "ports: 6379"), &[("ports", "cannot find statement `ports`")]);
    editor.errors(&edited("as \"db\";", "as \"db\""), &[("\"db\"", "expected `;`")]);
    editor.errors(&edited("expose 6379 as tcp;", "expose ;"), &[(";", "expected a port after `expose`")]);
    editor.errors(&edited("version.len();", "version.;"), &[(";", "expected identifier or integer")]);
    editor.errors(&edited("as \"db\"", "as \"my_db\""), &[("\"my_db\"", "`my_db` is not a valid host name")]);
    editor.errors(
        &edited("bind redis as \"db\";", "bind rediz as \"db\"; exek [\"x\"];"),
        &[("rediz", "cannot find service"), ("exek", "cannot find statement")],
    );
    advice(editor);
}

/// The server knows no lines: other places are named by what is there.
fn advice(editor: &mut Editor) {
    editor.advises(&edited("cache data;", "cache data; cache web;"), &["first declared as a service"]);
    editor.advises(
        &edited(
            "image \"nginx:1\";",
            "image \"nginx:1\"; expose 80; expose 80; linger \"1s\"; linger \"2s\";",
        ),
        &["the first is above it in service `web`", "the first is above it in service `web`"],
    );
    let cycle = edited("image \"nginx:1\";", "image \"nginx:1\"; expose 80; bind redis;");
    editor.advises(
        &cycle.replace("expose 6379 as tcp;", "expose 6379; bind web;"),
        &["`redis` binds `web`, `web` binds `redis`"],
    );
}

/// A function in place of a value: its parameters, and the types of what it gives.
fn item_form(editor: &mut Editor) {
    let program = |items: &str, after: &str| {
        format!(
            "bowline::pipeline! {{\n    /// All of CI.\n    pub fn ci(version: &str) -> Ci;\n{items}\n}}\n\
             fn main() {{\n    let p = ci(\"7\");\n    {after}\n}}\n"
        )
    };
    let items = "    /// The store.\n    service redis { image \"redis:7\"; expose 6379 as tcp; }\n    \
                 container ping { image format!(\"x:{}\", version); bind redis; }";
    editor.errors(&program(items, "let port = p.redis.tcp().port(); let _: u16 = port;"), &[]);
    editor.completes(&program(&format!("{items} │"), ""), ITEMS);
    editor.completes(&program(&items.replace("bind redis;", "│"), ""), CONTAINER);
    editor.completes(&program(&items.replace("bind redis;", "bind │;"), ""), "redis");
    editor.completes_also(&program(&items.replace("bind redis;", "env A = ver│;"), ""), "version");
    editor.completes_also(&program(&items.replace("bind redis;", "env A = version.│;"), ""), "len");
    editor.completes_also(&program(items, "p.│"), "ping");
    editor.completes_also(&program(items, "p.redis.│"), "tcp");
    editor.completes_also(&program(items, "let x: │ = p.redis;"), "CiRedis");
    editor.hover(&program(items, "c│i(\"6\");"), &["pub fn ci(version: &str) -> Ci", "All of CI."]);
    editor.hover(&program(&items.replace("bind redis", "bind re│dis"), ""), &["The store."]);
    editor.definition(&program(items, "let x: C│i = p;"), &[("main.rs", "Ci")]);
    editor.definition(&program(items, "p.re│dis;"), &[("main.rs", "redis")]);
    editor.definition(&program(&items.replace(", version)", ", ver│sion)"), ""), &[("main.rs", "version")]);
    editor.renames(&program(&items.replace("service redis", "service re│dis"), "p.redis;"), "redis", 3);
    editor.errors(
        &program(&items.replace("bind redis", "bind rediz"), "ci(1);"),
        &[("rediz", "cannot find service"), ("1", "expected &")],
    );
}
