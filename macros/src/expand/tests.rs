//! Expansions as snapshots, printed by prettyplease: the code that users continue with when they outgrow the macro.

use proc_macro2::TokenStream;
use quote::quote;

/// The expansion of a pipeline, as a program.
fn expansion(source: &str) -> String {
    let input: TokenStream = format!("::bowline; {source}").parse().unwrap();
    let expanded = crate::driver::pipeline(input, super::Target::Rustc);
    let is_item = source.contains(" fn ");
    let program = if is_item { expanded.clone() } else { quote!(fn example() { let p = #expanded; }) };
    let file = syn::parse2(program).unwrap_or_else(|error| panic!("not Rust: {error}\n{expanded}"));
    prettyplease::unparse(&file)
}

/// The source without the indentation it has in this file.
fn dedented(source: &str) -> String {
    let lines = source.trim_matches(['\n', ' ']).lines();
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
    lines.join("\n")
}

macro_rules! snapshots {
    ($($name:ident: $source:literal;)*) => { $(
        #[test]
        fn $name() {
            let shown = format!("{}\n\n// expands to\n\n{}", dedented($source), expansion($source));
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), shown);
            });
        }
    )* };
}

snapshots! {
    options_of_commands: r#"
        container c {
            image "debian:12";
            exec ["cat"] { stdin "text"; expect any; timeout "30s"; stdout to "/out"; stderr to "/err"; uncached; }
            exec ["false", code] { expect failure; stdin bytes?; }
            exec ["apt-get", "update"] { fresh "24h"; }
            shell "a | b" { expect success; stdout to path.join("x"); }
        }
    "#;

    confinement: r#"
        service engine {
            image "docker:27";
            entrypoint ["/init", flag];
            hostname "build-host";
            privileged;
            limit cpu 2.5;
            limit memory "512MiB";
            limit pids 256;
            limit nofile 1 << 16;
            limit core "0";
            cap drop "ALL";
            cap add (name);
            shm "1GiB";
            sysctl "net.core.somaxconn" = 64 + 1;
            tmpfs "/run";
            socket "/var/run/x.sock" at "/x.sock";
            expose 2375 on host 12375;
        }
        container c {
            image "debian:12";
            socket (path()) at "/x.sock";
            entrypoint ["/init"];
            exec ["true"];
        }
    "#;

    item_form: r#"
        /// The whole of CI.
        pub fn ci(version: &str) -> Result<Ci, Error>;

        /// The store under test.
        service redis {
            image format!("redis:{version}");
            expose (port()?) as tcp;
        }
        container ping {
            image "redis:7";
            bind redis;
            exec ["redis-cli", "-h", "redis", "ping"];
        }
    "#;

    mistakes_in_item_form: r#"
        fn ci(version: &str) -> Ci;
        service redis { image "redis:7"; exposee 6379 as tcp; expose 70000; }
    "#;

    seed: r#"
        /// The store under test.
        service redis {
            image "redis:7";
            expose 6379;
        }
        container ping {
            image "redis:7";
            bind redis as "redis-srv";
            exec ["redis-cli", "-h", "redis-srv", "ping"];
        }
    "#;

    asked_before_it_is_defined: r#"
        container client {
            image "redis:7";
            bind api;
            env URL = api.endpoint_on(80).to_string();
            env DB = url(&db);
            exec ["true"];
        }
        service db { image "postgres:15"; expose 5432; }
        service api { image "acme/api:2"; bind db; expose 80; }
    "#;

    statements_of_both: r#"
        cache data;
        secret token = secret::env("TOKEN");
        container base { image "debian:12"; platform "linux/arm64"; }
        service web { image "nginx:1.22"; expose 80; }
        container c {
            from base;
            env A = "x";
            env "B.C" = 5;
            env (key) = value;
            workdir "/srv";
            user format!("{uid}:{gid}");
            file "/etc/motd" = include_bytes!("motd");
            file (path) = "text";
            label "com.example.team" = team;
            mount data at "/data";
            mount data at "/seen" readonly;
            mount (host_dir()?) at "/src";
            mount token at path.join("x") readonly;
            copy (base.directory("/out")) to "/in";
            bind web;
            bind web as "www";
            bind (other.web) as "other";
        }
    "#;

    default_alias_has_no_underscore: r#"
        service key_store { image "redis:7"; expose 6379; }
        container c { image "redis:7"; bind key_store; }
    "#;

    commands: r#"
        container c {
            image "debian:12";
            exec ["echo", "all", "literals"];
            exec ["echo", word, 5];
            exec words.iter();
            shell "a | b";
        }
        service s { image "debian:12"; run ["server", "--port", port]; expose 80; }
        service t { image "debian:12"; run arguments; expose 80; }
    "#;

    ports: r#"
        service s {
            image "x:1";
            expose 80;
            expose base + 1;
            expose 53/udp;
            expose 54/tcp as tcp_dns;
            expose 55/udp as dns unprobed;
            expose 8080 as http;
            expose (admin) as admin;
            expose ADMIN as admin2;
            expose 6214 unprobed;
        }
    "#;

    readiness: r#"
        service a { image "x:1"; expose 80; ready port; }
        service b { image "x:1"; expose 80; ready http "/healthz"; }
        service c { image "x:1"; expose 80; expose 81 as admin; ready http "/x" on admin within "60s"; }
        service d { image "x:1"; expose 80; ready http (path) on 8080 within (limit); }
        service e { image "x:1"; ready exec ["pg_isready", "-p", port] within "5s"; }
        service f { image "x:1"; ready log "ready to accept connections" times 2 within LIMIT; }
        service g { image "x:1"; ready image; }
    "#;

    ends: r#"
        service a { image "x:1"; expose 80; stop "SIGINT"; linger "30s"; instance "first"; }
        service b { image "x:1"; expose 80; stop "SIGINT" within "20s"; linger limit; instance number; shared; }
    "#;

    order: r#"
        container migrate { image "x:1"; exec ["migrate"]; }
        container tests { image "x:1"; after migrate; after (other); exec ["test"]; }
        service from_container { from migrate; expose 80; }
    "#;

    exports: r#"
        container build {
            image "rust:1.95";
            exec ["make"];
            export "/out/app" as binary;
            export "/out/docs/" as docs;
            export (format!("/out/{name}")) as dynamic;
            if with_report { export "/out/report" as report; }
        }
    "#;

    values_and_imports: r#"
        cache registry locked = "cargo-registry";
        cache other private;
        dir source = host("./src")?;
        file config = base.file("/etc/config");
        service db = shared.db;
        container base = base_image(version).await?;
        container c { image "x:1"; bind db as "db"; mount source at "/src"; mount config at "/config"; after base; }
    "#;

    values_declared_later: r#"
        container c { image "x:1"; mount source at "/src"; bind db as "db"; env KEY = late.key(); }
        container d { image "x:1"; }
        service db = shared;
        cache late = key();
        dir source = d.directory("/src");
    "#;

    if_in_body: r#"
        container c {
            image "x:1";
            env A = "1";
            if cond { env B = "2"; env C = "3"; } else if let Some(d) = maybe { env D = d; } else { env E = "5"; }
            exec ["run"];
        }
    "#;

    for_match_and_let_in_body: r#"
        container c {
            image "x:1";
            let version = read()?;
            for extra in ["a", "b"] { exec ["install", extra]; }
            match version { Some(v) if v > 3 => { env V = v; } Some(_) | None => {} }
            exec ["run"];
        }
    "#;

    image_under_condition: r#"
        container c { if alpine { image "alpine:3"; } else { image "debian:12"; } exec ["sh"]; }
    "#;

    items_in_for: r#"
        service db { image "postgres:15"; expose 5432; }
        for version in versions {
            container test { image format!("python:{version}"); bind db; exec ["pytest"]; }
            cache wheels = format!("wheels-{version}");
        }
    "#;

    items_in_if_and_match: r#"
        if nightly {
            service extra { image "x:1"; expose 80 as http; }
        } else {
            container other { image "x:1"; }
        }
        match mode {
            Mode::Full(n) => { for i in 0..n { container many { image "x:1"; env I = i; } } }
            Mode::None => {}
        }
    "#;

    methods_in_for: r#"
        for name in names {
            container build { image "x:1"; exec ["make"]; export (format!("/out/{name}")) as binary; }
            service web { image "x:1"; if tls { expose 443 as https; } expose 80 as http; }
        }
    "#;

    names_of_all_kinds: r#"
        service r#type { image "x:1"; expose 80 as r#match; }
        container pipeline { image "x:1"; export "/x" as r#fn; }
        container Pipeline { image "x:1"; export "/x" as a; }
    "#;

    variables_as_operands: r#"
        for (alias, svc) in &services {
            container c { image "x:1"; bind svc as alias; for dir in &dirs { mount dir at dir.target(); } }
        }
    "#;

    empty: "";

    errors_leave_the_handles: r#"
        service web { image "x:1"; expose 80 as http; expose }
        container c { image }
    "#;

    mistakes_leave_the_rest: r#"
        service web { image "x:1"; expose 80 as http; }
        container c { image "x:1"; bind wbe as "www"; exec ["true"]; }
    "#;
}
