//! What rust-analyzer needs for completion, tested without rust-analyzer.
//!
//! It inserts a marker at the cursor and expands again. Before the first token with the marker, the expansion must have
//! the same text as without the marker, or completion reads the wrong place; and that token must be in the shadow for a
//! word or a name, and after it for a Rust value.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use crate::driver::pipeline;
use crate::errors::position;
use crate::expand::Target;

const MARKER: &str = "raMarker";

fn expand(source: &str) -> TokenStream {
    pipeline(format!("::bowline; {source}").parse().unwrap(), Target::Editor)
}

/// The leaves of a token tree, each with its source position.
fn flatten(tokens: TokenStream, flat: &mut Vec<(String, (usize, usize))>) {
    for token in tokens {
        let at = position(token.span());
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                flat.push((open.to_owned(), (0, 0)));
                flatten(group.stream(), flat);
                flat.push((close.to_owned(), (0, 0)));
            }
            other => flat.push((other.to_string(), at)),
        }
    }
}

fn flat(source: &str) -> Vec<(String, (usize, usize))> {
    let mut tokens = Vec::new();
    flatten(expand(source), &mut tokens);
    tokens
}

/// The path that is completed at the cursor `│`, as `service::│`; or `value` after the shadow.
fn completed(source: &str) -> String {
    let marked = flat(&source.replace('│', MARKER));
    let plain = flat(&source.replace('│', ""));
    let at = marked.iter().position(|(text, _)| text.contains(MARKER));
    let at = at.unwrap_or_else(|| panic!("the marker is lost: {source}"));
    let text = |tokens: &[(String, (usize, usize))]| {
        tokens.iter().take(at).map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(&marked), text(&plain), "other text before the cursor: {source}");
    let context = |back: usize| marked[at - back].0.as_str();
    if marked[..at].iter().any(|(text, _)| text == "__out") {
        return "value".to_owned();
    }
    assert_eq!((context(1), context(2)), (":", ":"), "{source}");
    let is_word = marked[at + 1].0 == "as";
    let is_name = context(3).starts_with("__") || context(6) == "__names";
    assert_eq!(is_word, !is_name, "{source}");
    context(3).to_owned()
}

const SURROUNDINGS: [(&str, &str); 4] = [
    ("", ""),
    ("cache before; service s { image \"x:1\"; expose 80; }", "container after_it { image \"y:1\"; }"),
    ("for i in 0..3 {", "}"),
    ("if a { service s { image \"x:1\"; } } else {", "}"),
];

/// Checks lines in every context, and with every statement around the cursor.
fn all_complete(kind: &str, lines: &[&str], wanted: &str) {
    let others = [
        "",
        "exec [\"a\", b];",
        "image \"x:1\";",
        "if x { env A = 1; }",
        "bind b as \"c\";",
        "env A = a.b();",
    ];
    for (before, after) in SURROUNDINGS {
        for line in lines {
            for (first, last) in others.into_iter().zip(others.into_iter().cycle().skip(2)) {
                let source = format!("{before} {kind} q {{ {first}\n{line}\n{last} }} {after}");
                assert_eq!(completed(&source), wanted, "{source}");
            }
        }
    }
}

#[test]
fn statements() {
    for kind in ["service", "container"] {
        let lines = [
            "│",
            "e│",
            "ex│;",
            "if x { │ }",
            "if x { e│ } else { env A = 1; }",
            "if x {} else if y { │ }",
            "for i in list { │ }",
            "match x { A => { │ } _ => {} }",
            "junk; │",
            "env A = ;\n│",
        ];
        all_complete(kind, &lines, kind);
    }
}

#[test]
fn items() {
    for (before, after) in SURROUNDINGS {
        for item in ["│", "ser│", "junk { }\n│", "cache a; │", "se│rvice s2 { image \"x:1\"; }", "if x { │ }"]
        {
            let source = format!("{before} {item} {after}");
            assert_eq!(completed(&source), "item", "{source}");
        }
    }
}

#[test]
fn names() {
    let services = ["bind │;", "bind re│;", "bind │ as \"db\";", "bind re│dis as \"db\";"];
    all_complete("container", &services, "services");
    all_complete("service", &services, "services");
    let containers = ["after │;", "after mi│;", "from │;", "from ba│se;"];
    all_complete("container", &containers, "containers");
    all_complete("container", &["copy │ to \"/x\";", "copy da│ to \"/x\";", "copy │;"], "files");
    all_complete("container", &["mount │ at \"/x\";", "mount da│ at \"/x\";", "mount │;"], "values");
    all_complete(
        "service",
        &["ready │;", "ready h│;", "ready h│ \"/x\";", "ready po│rt within \"5s\";"],
        "ready",
    );
    let ports = "expose 80 as a; ready http \"/x\" on │;";
    assert_eq!(completed(&format!("service s {{ image \"x:1\"; {ports} }}")), "__ports_1");
}

/// The words in statements, and the options of commands.
#[test]
fn words_inside_of_statements() {
    for (lines, wanted) in [
        (&["bind b │;", "bind b a│;", "bind b │ as \"x\";", "bind (b.c) │\nexec [\"x\"];"][..], "alias"),
        (&["mount c │;", "mount c │ at \"/x\";", "mount (c.d()) a│ \"/x\";", "socket \"/a\" │;"], "at"),
        (&["mount c at \"/x\" │;", "mount c at p r│;"], "readonly"),
        (
            &["copy c │;", "copy c t│ \"/x\";", "exec [\"x\"] { stdout │; }", "exec c { stderr t│ \"/x\"; }"],
            "to",
        ),
        (&["limit │;", "limit c│;", "limit mem│ory \"1MiB\";"], "limit"),
        (&["export \"/x\" │;", "export \"/x\" a│ name;"], "alias"),
        (
            &[
                "exec [\"x\"] { │ }",
                "exec [\"x\"] { std│ }",
                "exec [\"x\"] { uncached; │ }",
                "shell \"x\" { │ uncached; }",
                "shell (x) { expect any; timeout \"1s\"; u│; }",
            ],
            "option",
        ),
        (&["exec [\"x\"] { expect │; }", "exec [\"x\"] { stdin \"x\"; expect a│ny; }"], "expectation"),
    ] {
        all_complete("container", lines, wanted);
    }
    for (lines, wanted) in [
        (&["expose 80 │;", "expose 80 u│;", "expose 80/udp │;", "expose (p) a│ name;"][..], "port"),
        (&["expose 80 as http │;", "expose 53/udp as dns un│;"], "named_port"),
        (&["expose 80/│;", "expose 80/u│dp;"], "protocol"),
        (&["ready http \"/\" │;", "ready http \"/\" o│ http;"], "http"),
        (&["ready log \"x\" │;", "ready log \"x\" w│ \"1s\";"], "log"),
        (
            &[
                "ready port │;",
                "ready image wi│;",
                "ready exec [\"x\"] │;",
                "ready http \"/\" on http │;",
                "ready log \"x\" times 2 │ within \"1s\";",
                "stop \"INT\" │;",
            ],
            "within",
        ),
    ] {
        all_complete("service", lines, wanted);
    }
}

/// The same in item position, even while the signature is being typed.
#[test]
fn item_form() {
    for signature in [
        "pub fn ci(version: &str) -> Ci;",
        "/// Docs.\nasync fn ci() -> Result<Ci>;",
        "fn ci(version: ) -> Ci;",
        "fn ci() -> ;",
        "pub fn ci();",
        "fn ci",
    ] {
        for (rest, wanted) in [
            ("│", "item"),
            ("ser│", "item"),
            ("service s { image \"x:1\"; │ }", "service"),
            ("container c { image \"x:1\"; bind │; }", "services"),
            ("container c { image \"x:1\"; env A = version.│; }", "value"),
        ] {
            let source = format!("{signature}\nservice before {{ image \"x:1\"; }} {rest}");
            assert_eq!(completed(&source), wanted, "{source}");
        }
    }
}

/// Values reach the code after the shadow, however complete they are.
#[test]
fn values() {
    let lines = [
        "env A = │;",
        "env A = v│;",
        "env A = version.│;",
        "env A = format!(\"{}\", v│);",
        "workdir │;",
        "user u.│;",
        "file \"/a\" = │;",
        "image │;",
        "image f(│);",
        "if v│ { }",
        "if version.│ { }",
        "for i in list.│ { }",
        "match v│ { _ => {} }",
        "let a = v│;",
        "bind (other.│) as \"x\";",
        "mount (c) at p│;",
        "env A = version.│\nenv B = 1;",
    ];
    all_complete("container", &lines, "value");
    let lines =
        ["expose │;", "expose p│;", "linger │;", "instance n│;", "run a.│;", "stop (s│);", "ready log (t│);"];
    all_complete("service", &lines, "value");
    for item in [
        "cache c = │;",
        "cache c = k│;",
        "dir d = a.│;",
        "file f = │;",
        "service sv = p.│;",
        "container c = │;",
    ] {
        for (before, after) in SURROUNDINGS {
            assert_eq!(completed(&format!("{before} {item} {after}")), "value", "{item}");
        }
    }
}

/// A keyword is spanned once in the expansion, so that there is one place to go to.
#[test]
fn one_span_one_ident() {
    let source = r#"
        /// Docs.
        service web { image "x:1"; env A = "b"; file "/a" = "b"; mount data at "/d"; run ["x"]; expose 80 as http;
            ready http "/" on http within "5s"; stop "INT" within "1s"; linger "1s"; instance "i"; workdir "/"; user "u"; }
        cache data;
        dir d = base.directory("/x");
        file f = base.file("/x");
        container base { image "x:1"; }
        container c { from base; bind web as "web"; mount data at "/d" readonly; copy d to "/d"; after base; limit cpu 1;
            exec ["a", b] { stdin "x"; expect any; stdout to "/o"; } shell "x"; export "/x" as x; }
    "#;
    let mut spans: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let mut user = Vec::new();
    flatten(format!("::bowline; {source}").parse().unwrap(), &mut user);
    for (text, at) in flat(source) {
        spans.entry(at).or_default().push(text);
    }
    let is_word = |word: &str| {
        crate::keywords::statement(word).is_some()
            || crate::keywords::Kind::of(word).is_some()
            || crate::keywords::INSIDE.iter().any(|inside| inside.words.contains(&word))
    };
    let mut seen = 0;
    for (text, at) in user.iter().filter(|(text, _)| is_word(text)) {
        // `as` is in a path as `r#as`.
        let is_it = |found: &&String| found.trim_start_matches("r#") == text;
        assert_eq!(spans.get(at).into_iter().flatten().filter(is_it).count(), 1, "{text} at {at:?}");
        let identifiers =
            spans[at].iter().filter(|found| found.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        assert_eq!(identifiers.count(), 1, "{text} at {at:?}: {:?}", spans[at]);
        seen += 1;
    }
    assert!(seen >= 44, "{seen}");
    // A name leads only to its declaration: nothing else has its span.
    for (text, at) in user
        .iter()
        .filter(|(text, _)| ["web", "data", "base", "c", "d", "f", "http"].contains(&text.as_str()))
    {
        let others: Vec<_> = spans[at]
            .iter()
            .filter(|found| *found != text && *found != "&" && *found != "\"http\"")
            .collect();
        assert!(others.is_empty(), "{text} at {at:?}: {others:?}");
    }
}

/// Whatever is typed, the errors come last, and no string before the code repeats the user's text.
#[test]
fn errors_are_last() {
    let text = expand("service rediz { imag \"x:1\"; } container c { image \"x:1\"; bind redis; }")
        .to_token_stream()
        .to_string();
    let (code, errors) = text.split_once("compile_error").unwrap();
    assert!(code.contains("struct Pipeline") && errors.contains("imag"));
    assert!(!errors.contains("struct Pipeline"));
}
