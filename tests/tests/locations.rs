//! Where things are written, as plans and errors say it. Nothing here needs an engine.

use bowline::prelude::*;
use bowline::{Error, Location};

/// Where a word stands in this file, on the line that ends in the comment of this name.
fn at(name: &str, word: &str) -> String {
    let mark = format!("// {name}");
    let mut lines = include_str!("locations.rs").lines().zip(1..).filter(|(line, _)| line.ends_with(&mark));
    let (line, number) = lines.next().unwrap_or_else(|| panic!("no line ends in {mark}"));
    assert!(lines.next().is_none(), "{mark} twice");
    let column = line.find(word).unwrap_or_else(|| panic!("no {word} in {line}")) + 1;
    format!("{}:{number}:{column}", file!())
}

fn shown(locations: &[Location]) -> Vec<String> {
    locations.iter().map(ToString::to_string).collect()
}

/// Where the steps of a plan are written.
fn steps(plan: Plan) -> Vec<Vec<String>> {
    plan.with_locations().steps.iter().map(|step| shown(&step.locations)).collect()
}

fn services(plan: Plan) -> Vec<Vec<String>> {
    plan.with_locations().services.iter().map(|service| shown(&service.locations)).collect()
}

/// Where what is wrong is written.
fn mistakes(plan: &Plan) -> Vec<Vec<String>> {
    plan.errors.iter().map(|error| shown(error.locations())).collect()
}

#[test]
fn in_an_expression() {
    let p = pipeline! {
        service db { // expression: service
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7"; bind db;
            exec ["true"]; // expression: first
            env A = "b"; exec ["redis-cli", "-h", "db", "ping"]; // expression: second
        }
    };
    assert_eq!(services(p.plan()), [[at("expression: service", "service")]]);
    let second = at("expression: second", "exec");
    assert_eq!(steps(p.plan()), [[at("expression: first", "exec")], [second]]);
}

mod item_form {
    use bowline::prelude::*;

    pipeline! {
        /// A pipeline as a function.
        pub(crate) fn ci(version: &str) -> Result<Ci>;

        service db { image format!("redis:{version}"); expose 6379 as tcp; } // item: service
        container ping {
            image "redis:7";
            bind db;
            exec ["ping"]; // item: exec
        }
    }
}

#[test]
fn in_item_form() {
    let p = item_form::ci("7").unwrap();
    assert_eq!(services(p.plan()), [[at("item: service", "service")]]);
    assert_eq!(steps(p.plan()), [[at("item: exec", "exec")]]);
}

#[test]
fn of_builders() {
    let db = Service::from_image("redis:7") // builder: service
        .expose(6379);
    let ping = Container::from_image("redis:7")
        .bind("db", &db)
        .exec(["ping"]) // builder: exec
        .workdir("") // builder: workdir
        .shell("true"); // builder: shell
    assert_eq!(services(ping.plan()), [[at("builder: service", "Service::from_image")]]);
    let shell = at("builder: shell", "shell");
    assert_eq!(steps(ping.plan()), [[at("builder: exec", "exec")], [shell]]);
    assert_eq!(mistakes(&ping.plan()), [[at("builder: workdir", "workdir")]]);
}

#[test]
fn in_loops() {
    let p = pipeline! {
        for shard in 0..3 {
            container test {
                image "debian:12";
                for part in ["a", "b"] {
                    exec ["test", part, format!("{shard}")]; // loop: exec
                }
            }
        }
    };
    let places = steps(p.plan());
    assert_eq!((places.len(), p.test.len()), (6, 3));
    assert!(places.iter().all(|places| *places == [at("loop: exec", "exec")]), "{places:?}");
}

#[test]
fn in_branches() {
    let build = |fast: bool, level: u8| {
        let p = pipeline! {
            if fast {
                container quick { image "debian:12"; exec ["fast"]; } // branch: fast
            } else {
                container test { image "debian:12"; exec ["slow"]; } // branch: slow
            }
            container check {
                image "debian:12";
                match level {
                    0 => { exec ["none"]; } // branch: none
                    _ => {
                        exec ["some"]; // branch: some
                    }
                }
            }
        };
        steps(p.plan()).concat()
    };
    assert_eq!(build(true, 0), [at("branch: fast", "exec"), at("branch: none", "exec")]);
    assert_eq!(build(false, 1), [at("branch: slow", "exec"), at("branch: some", "exec")]);
}

fn helper() -> Container {
    Container::from_image("debian:12").exec(["help"]) // function: inside
}

#[track_caller]
fn tracked() -> Container {
    Container::from_image("debian:12").exec(["tracked"])
}

#[test]
fn of_functions_that_build() {
    assert_eq!(steps(helper().plan()), [[at("function: inside", "exec")]]);
    let container = tracked(); // function: caller
    assert_eq!(steps(container.plan()), [[at("function: caller", "tracked")]]);
}

mod renamed {
    pub(crate) use bowline as engine_room;
    pub(crate) use bowline::pipeline as flow;
}

#[test]
fn through_reexports() {
    let p = renamed::flow! {
        container one { image "debian:12"; exec ["one"]; } // reexport: macro
    };
    assert_eq!(steps(p.plan()), [[at("reexport: macro", "exec")]]);
    let p = renamed::engine_room::pipeline! {
        container one { image "debian:12"; workdir String::new(); exec ["one"]; } // reexport: crate
    };
    assert_eq!(steps(p.plan()), [[at("reexport: crate", "exec")]]);
    assert_eq!(mistakes(&p.plan()), [[at("reexport: crate", "workdir")]]);
}

macro_rules! tested {
    ($image:literal, { $($given:tt)* }) => {
        pipeline! {
            container test {
                image $image;
                exec ["own"];
                $($given)*
            }
        }
    };
}

/// Of what the macro's body has itself, the place is where it is called, as for panics; what it was given stands where
/// it is.
#[test]
fn in_macros_of_the_user() {
    let p = tested! { "debian:12", { // macro: call
        exec ["given"]; // macro: given
    }};
    let given = at("macro: given", "exec");
    assert_eq!(steps(p.plan()), [[at("macro: call", "tested")], [given]]);
}

#[test]
fn of_imports() {
    let shared = item_form::ci("6").unwrap();
    let p = pipeline! {
        service db = shared.db;
        container built = helper();
        container test {
            from built;
            bind db;
            exec ["test"]; // import: exec
        }
    };
    assert_eq!(services(p.plan()), [[at("item: service", "service")]]);
    let exec = at("import: exec", "exec");
    assert_eq!(steps(p.plan()), [[at("function: inside", "exec")], [exec]]);
}

#[test]
fn equal_steps_are_one_with_all_places() {
    let p = pipeline! {
        container a { image "debian:12"; exec ["same"]; } // twice: first
        container b { image "debian:12"; exec ["same"]; } // twice: second
        container c { from a; exec ["other"]; } // twice: other
    };
    let same = vec![at("twice: first", "exec"), at("twice: second", "exec")];
    assert_eq!(steps(p.plan()), [same, vec![at("twice: other", "exec")]]);
    let [a, b] = [p.a.digest().unwrap(), p.b.digest().unwrap()];
    assert_eq!(a, b, "where it is written is part of no identity");
}

#[test]
fn equal_services_are_one_with_all_places() {
    let p = pipeline! {
        service first { image "redis:7"; expose 6379; } // services: first
        service second { image "redis:7"; expose 6379; } // services: second
        container test { image "debian:12"; bind first as "a"; bind second as "b"; exec ["test"]; }
    };
    assert_eq!(p.first.hostname(), p.second.hostname());
    let both = [at("services: first", "service"), at("services: second", "service")];
    assert_eq!(services(p.plan()), [both]);
}

#[test]
fn statements_over_several_lines_are_where_they_start() {
    let limit = "soon".to_owned();
    let p = pipeline! {
        container test {
            image "debian:12";
            file "/first" = "1"; // lines: file
            file "/second" = "2";
            after before;
            exec [ // lines: exec
                "sort",
                "-u",
            ] {
                stdin "b\na\n";
                timeout limit; // lines: timeout
                stdout to "/sorted";
            }
            file "/third" = "3"; // lines: third
            file "/fourth" = "4";
        }
        container before {
            image "debian:12";
            exec ["before"]; // lines: before
        }
    };
    let places = [at("lines: before", "exec"), at("lines: exec", "exec"), at("lines: third", "file")];
    assert_eq!(steps(p.plan()).concat(), places);
    assert_eq!(mistakes(&p.plan()), [[at("lines: timeout", "timeout")]]);
}

#[test]
fn mistakes_are_where_they_are_made() {
    let (key, signal, has_image) = ("a b\n", "NOPE".to_owned(), false);
    let p = pipeline! {
        service web { // mistakes: web
            image "nginx:1.22";
            for port in [80, 81] { expose port; }
            ready http "/";
            stop (signal) within "1s"; // mistakes: stop
        }
        cache pip = key; // mistakes: cache
        dir src = host("./src").exclude(["["]); // mistakes: dir
        container test {
            image "debian:12";
            bind web;
            mount pip at "/c";
            copy src to "/src";
            exec [String::from("nul\0")]; // mistakes: exec
        }
        container empty { // mistakes: empty
            if has_image { image "debian:12"; }
        }
    };
    let expected = [
        at("mistakes: stop", "stop"),
        at("mistakes: web", "service"),
        at("mistakes: cache", "cache"),
        at("mistakes: dir", "exclude"),
        at("mistakes: exec", "exec"),
        at("mistakes: empty", "container"),
    ];
    let mut found = mistakes(&p.plan()).concat();
    found.sort_by_key(|place| expected.iter().position(|expected| expected == place));
    assert_eq!(found, expected, "{}", p.plan().with_locations());
}

#[test]
fn the_same_mistake_in_several_places_is_told_once() {
    let wrong = String::new();
    let p = pipeline! {
        container test {
            image "debian:12";
            workdir &wrong; // mistake: first
            workdir &wrong; // mistake: second
        }
    };
    let places = [at("mistake: first", "workdir"), at("mistake: second", "workdir")];
    let plan = p.plan();
    assert_eq!(mistakes(&plan), vec![places.to_vec()]);
    let text = "error: in `test`: an empty working directory\n  help: `/` is the root";
    assert_eq!(plan.to_string(), text);
    let with =
        "error: in `test`: an empty working directory\n  --> FIRST\n  --> SECOND\n  help: `/` is the root";
    let with = with.replace("FIRST", &places[0]).replace("SECOND", &places[1]);
    assert_eq!(plan.clone().with_locations().to_string(), with);
    let error = plan.check().unwrap_err();
    assert_eq!(error.to_string(), with.replace("error: ", "").replace("\n  help", "\n\nhelp"));
}

#[test]
fn a_plan_as_json_has_places_where_they_are_asked_for() {
    let p = pipeline! {
        service db { // json: service
            image "redis:7";
            expose 6379;
        }
        container test {
            image "debian:12";
            bind db;
            exec ["true"]; // json: step
        }
    };
    let without = serde_json::to_string(&p.plan()).unwrap();
    assert!(!without.contains("locations") && !without.contains(file!()), "{without}");
    let plan = serde_json::to_value(p.plan().with_locations()).unwrap();
    for (what, name, word) in [("services", "json: service", "service"), ("steps", "json: step", "exec")] {
        let place = &plan[what][0]["locations"][0];
        let file = place["file"].as_str().unwrap();
        assert_eq!(format!("{file}:{}:{}", place["line"], place["column"]), at(name, word), "{plan:#}");
    }
}

#[bowline::test]
async fn errors_of_exports_are_where_they_are_exported() {
    let tmp = "/tmp".to_owned();
    let p = pipeline! {
        container build {
            image "debian:12";
            tmpfs tmp.clone();
            exec ["make"];
            export "/tmp/out" as out; // export
        }
    };
    let error = p.build.out().bytes().await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert_eq!(shown(error.locations()), [at("export", "export")]);
    let error = p.build.file("/tmp/x").bytes().await.unwrap_err(); // export: file
    assert_eq!(shown(error.locations()), [at("export: file", "file")]);
    let error = p.build.directory("/").directory("tmp").entries().await.unwrap_err(); // export: directory
    assert_eq!(shown(error.locations()), [at("export: directory", "directory(\"tmp")]);
}

#[test]
fn errors_of_what_was_never_defined_are_where_it_was_declared() {
    let (container, _undefined) = Container::declare("later"); // declared
    let test = Container::from_container(&container).exec(["true"]);
    assert_eq!(mistakes(&test.plan()), [[at("declared", "Container::declare")]]);
}

/// Every call of the builder, a line each: all of them are known, and nothing of the library's own is taken for one.
#[test]
fn every_call_of_the_builder_is_where_the_user_wrote_it() {
    let db = Service::empty()
        .run(["redis-server"])
        .image("redis:7")
        .run(["twice"])
        .expose(0)
        .ready(Ready::exec([""; 0]))
        .stop_with(Stop::signal("NOPE"))
        .linger("soon")
        .env("A", 1)
        .label("bowline.x", 1)
        .platform("linux/amd64")
        .workdir("/")
        .user("1")
        .entrypoint(["x"])
        .with_hostname("x")
        .privileged()
        .limit_cpu(1.0)
        .limit_memory(1 << 30)
        .limit_pids(100)
        .limit_nofile(100)
        .limit_core(0)
        .shm(1 << 20)
        .cap_add("CHOWN")
        .sysctl("net.core.somaxconn", 5)
        .tmpfs("/a")
        .socket("/b", "/c")
        .with_file("/d", "d")
        .mount("/e", CacheVolume::new("e"))
        .mount_readonly("/f", CacheVolume::new("f"))
        .copy("/g", helper().file("/g"))
        .bind("other", &Service::from_image("redis:7"))
        .image("again:1"); // all: service
    let test = Container::empty()
        .image("debian:12")
        .exec(["a"])
        .shell("b")
        .exec(Exec::shell("c").timeout("x"))
        .exec(Exec::new(["d"]).stdout_to("").stderr_to("").timeout("y"))
        .after(&helper())
        .from(&helper())
        .mount("/h", host("h").directory())
        .mount("/i", host("i").include(["["]).exclude(["["]).directory())
        .mount("/j", host_file("/"))
        .mount("/k", Container::from_container(&helper()).directory("/k").file("k").clone()); // all: container
    let shown = format!("{db:?}\n{test:?}");
    assert!(!shown.contains("runtime/src"), "{shown}");
    // What is right about these says no more than the value has.
    let silent = ["run([\"redis-server", "directory(", "clone("];
    let source: Vec<&str> = include_str!("locations.rs").lines().collect();
    for mark in ["all: service", "all: container"] {
        let end: usize = at(mark, ".").split(':').nth(1).unwrap().parse().unwrap();
        let chain = (1..=end).rev().map(|line| (line, source[line - 1]));
        for (line, text) in chain.take_while(|(_, text)| !text.contains("let ")) {
            for (dot, _) in text.match_indices('.') {
                let call = &text[dot + 1..];
                let name = call.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(0);
                if !call[name..].starts_with('(') || silent.iter().any(|silent| call.starts_with(silent)) {
                    continue;
                }
                let place = format!("{}:{line}:{}", file!(), dot + 2);
                assert!(shown.contains(&place), "{place} is not known: {call}");
            }
        }
    }
}

/// A place that is none of the program's is not told.
#[test]
fn what_is_called_by_its_name_alone_has_no_place() {
    let pointer: fn(&'static str) -> Container = Container::from_image;
    let [mapped] = ["Debian:12"].map(Container::from_image);
    for container in [mapped, pointer("Debian:12")] {
        let test = container.exec(["true"]); // pointer
        assert_eq!(mistakes(&test.plan()), [[""; 0]]);
        assert_eq!(steps(test.plan()), [[at("pointer", "exec")]]);
    }
}
