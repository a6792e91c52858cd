//! The parser's results for good and for half-typed input.

use super::*;
use crate::ast::{Definition, Expose, Item, Node, NodeKind, Operand, Probe, Statement, StatementKind, Value};
use crate::keywords::Kind;

fn parse(source: &str) -> (Pipeline, Vec<String>) {
    let (pipeline, errors) = pipeline(format!("$crate; {source}").parse().unwrap()).unwrap();
    let errors = errors.sorted().iter().map(|diagnostic| diagnostic.message.clone()).collect();
    (pipeline, errors)
}

fn good(source: &str) -> Pipeline {
    let (pipeline, errors) = parse(source);
    assert_eq!(errors, Vec::<String>::new(), "{source}");
    pipeline
}

fn items(nodes: &[Node<Item>]) -> Vec<&Item> {
    nodes
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Leaf(item) => Some(item),
            _ => None,
        })
        .collect()
}

fn statements(item: &Item) -> Vec<&Statement> {
    let Definition::Body(block) = &item.definition else {
        return Vec::new();
    };
    block
        .nodes
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Leaf(statement) => Some(statement),
            _ => None,
        })
        .collect()
}

/// The words of the first item's statements and the reports: they show how far the parser lost its way.
fn recovered(body: &str) -> (String, Vec<String>) {
    let (pipeline, errors) = parse(&format!("service s {{ {body} }}"));
    let items = items(&pipeline.nodes);
    let words = items.first().map(|item| statements(item)).unwrap_or_default();
    (words.iter().map(|statement| statement.keyword.to_string()).collect::<Vec<_>>().join(" "), errors)
}

/// Whatever statement follows, a half-typed one is reported at its own last word, and the next one is read completely.
#[test]
fn a_half_typed_statement_is_reported_where_it_stands() {
    let next = [
        "exec [\"a\"];",
        "run [\"a\"];",
        "entrypoint [];",
        "privileged;",
        "env (k) = 1;",
        "label (k) = 1;",
        "file (p) = \"x\";",
        "env A = 1;",
        "if x { user \"u\"; }",
        "match x { _ => { user \"u\"; } }",
        "for x in y { user \"u\"; }",
    ];
    let half = [
        ("mount pip", "expected `at` after this"),
        ("mount (a.b)", "expected `at` after this"),
        ("copy pip", "expected `to` after this"),
        ("socket \"/s\"", "expected `at` after this"),
        ("file \"/f\"", "expected `=` after this"),
        ("export \"/e\"", "expected `as` after this"),
        ("mount pip at \"/x\"", "expected `;` after this"),
        ("bind pip", "expected `;` after this"),
        ("expose 80", "expected `;` after this"),
    ];
    for next in next {
        for (half, wanted) in half {
            let (_, whole) = parse(&format!("service s {{ {next} }}"));
            assert_eq!(whole, Vec::<String>::new());
            let (pipeline, mut errors) =
                pipeline(format!("::bowline; service s {{\n{half}\n{next} }}").parse().unwrap()).unwrap();
            let found: Vec<(usize, String)> = errors
                .sorted()
                .iter()
                .map(|error| (crate::errors::line(error.start), error.message.clone()))
                .collect();
            let is_it = matches!(&*found, [(2, message)] if message.starts_with(wanted));
            assert!(is_it, "{half}\n{next}: {found:?}");
            let names = crate::names::Names::collect(&pipeline, &mut errors);
            let read = names.bodies.first().map_or(0, |body| body.statements.len());
            assert_eq!(read, 2, "{half}\n{next}");
        }
    }
    // Rust continues: this is an index, and a call.
    good(
        "container c { env A = exec[0]; env B = env(\"x\"); env C = if a { b } else { c }; bind privileged; }",
    );
}

#[test]
fn kinds_names_and_docs() {
    use Kind::{Cache, Container, Dir, File, Service};
    let pipeline = good(
        "/// Docs.\n/// More.\nservice a { } container r#type { } cache c; cache d = key; dir e = f(); file g = h; service i = j;",
    );
    let items = items(&pipeline.nodes);
    let kinds: Vec<Kind> = items.iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [Service, Container, Cache, Cache, Dir, File, Service]);
    assert_eq!(items.first().map(|item| item.docs.len()), Some(2));
    assert_eq!(
        items.get(1).and_then(|item| item.name.as_ref()).map(ToString::to_string).as_deref(),
        Some("r#type")
    );
}

#[test]
fn the_crate_path_is_what_stands_before_the_first_semicolon() {
    let (pipeline, _) = pipeline("::a::b::c; cache x;".parse().unwrap()).unwrap();
    assert_eq!(pipeline.krate.to_string(), ":: a :: b :: c");
    assert!(super::pipeline("".parse().unwrap()).is_err());
}

fn expose(source: &str) -> Expose {
    let pipeline = good(&format!("service s {{ expose {source}; }}"));
    let mut nodes = pipeline.nodes;
    let Some(Node { kind: NodeKind::Leaf(item), .. }) = nodes.pop() else { panic!("{source}") };
    let Definition::Body(mut block) = item.definition else { panic!("{source}") };
    let Some(Node { kind: NodeKind::Leaf(statement), .. }) = block.nodes.pop() else { panic!("{source}") };
    let StatementKind::Expose(expose) = statement.kind else { panic!("{source}") };
    *expose
}

#[test]
fn ports_are_operands_or_whole_expressions() {
    for (source, protocol, name, unprobed) in [
        ("80", None, None, false),
        ("53/udp", Some("udp"), None, false),
        ("53/tcp as dns", Some("tcp"), Some("dns"), false),
        ("53/udp as dns unprobed", Some("udp"), Some("dns"), true),
        ("(a + b) as c", None, Some("c"), false),
        ("PORT as c", None, Some("c"), false),
        ("PORT unprobed", None, None, true),
        ("80 as c on host 8080", None, Some("c"), false),
        ("80 on host (port + 1) unprobed", None, None, true),
        ("53/udp on host port", Some("udp"), None, false),
        ("base + 1", None, None, false),
        ("base / 2", None, None, false),
        ("self.ports[0]", None, None, false),
        ("(a)", None, None, false),
        ("config::port()?", None, None, false),
    ] {
        let found = expose(source);
        assert_eq!(found.protocol.map(|word| word.to_string()).as_deref(), protocol, "{source}");
        assert_eq!(found.name.map(|word| word.to_string()).as_deref(), name, "{source}");
        assert_eq!(found.unprobed.is_some(), unprobed, "{source}");
        assert_eq!(found.host.is_some(), source.contains(" on host "), "{source}");
    }
}

#[test]
fn probes() {
    let pipeline = good(
        r#"service s {
            ready port; ready image within "5s"; ready http "/x" on admin within (limit);
            ready exec ["a", b]; ready log "x" times 2 within "5s";
        }"#,
    );
    let items = items(&pipeline.nodes);
    let found: Vec<String> = statements(items.first().unwrap())
        .iter()
        .map(|statement| {
            let StatementKind::Ready(ready) = &statement.kind else { panic!() };
            let probe = match &ready.probe {
                Probe::Port => "port",
                Probe::Image => "image",
                Probe::Http { on: Some(Operand::Name(_)), .. } => "http on",
                Probe::Exec(Operand::Value(value)) if value.list().is_some() => "exec list",
                Probe::Log { times: Some(_), .. } => "log times",
                _ => "?",
            };
            format!("{probe}{}", if ready.within.is_some() { " within" } else { "" })
        })
        .collect();
    assert_eq!(found, ["port", "image within", "http on within", "exec list", "log times within"]);
}

#[test]
fn words_of_the_language_are_names_too() {
    good(
        "service service { bind at; mount dir at \"/x\"; mount at at \"/y\"; bind container as \"z\"; after cache; }",
    );
    good(
        "container image { env env = 1; env type = 2; env \"a.b\" = 3; env (k) = 4; export \"/x\" as export; }",
    );
}

#[test]
fn control_flow_in_items_and_bodies() {
    let pipeline = good(
        "for (i, x) in xs.iter().enumerate() { if a { container b { let c = 5; match d { 1 | 2 if e => { env F = c; } _ => {}, } } }
         else if let Some(g) = h { cache j; } else { } }
         match k { K { l } => { container m { image l; } } _ => {} }
         let n = o;",
    );
    assert_eq!(pipeline.nodes.len(), 3);
}

#[test]
fn a_half_typed_statement_keeps_the_next() {
    for (body, words, errors) in [
        ("image \"x\" expose 80;", "image expose", vec!["expected `;` after this"]),
        (
            "image expose 80;",
            "image expose",
            vec!["expected an image reference after `image`\n\nhelp: `image \"redis:7\";`"],
        ),
        ("image", "image", vec!["expected an image reference after `image`\n\nhelp: `image \"redis:7\";`"]),
        (
            "image; expose 80;",
            "image expose",
            vec!["expected an image reference after `image`\n\nhelp: `image \"redis:7\";`"],
        ),
        ("image foo(; expose 80;", "", vec![]),
        ("image foo.; expose 80;", "image expose", vec!["expected identifier or integer"]),
        (
            "image \"x\"; bind",
            "image bind",
            vec!["expected a service after `bind`\n\nhelp: `bind db as \"alias\";`"],
        ),
        ("image \"x\"; bind r", "image bind", vec!["expected `;` after this"]),
        (
            "bind r as; expose 80;",
            "bind expose",
            vec!["expected an alias after `as`\n\nhelp: `bind db as \"alias\";`"],
        ),
        (
            "bind r as expose 80;",
            "bind expose",
            vec!["expected an alias after `as`\n\nhelp: `bind db as \"alias\";`"],
        ),
        (
            "bind as \"x\"; expose 80;",
            "bind expose",
            vec!["expected a service after `bind`\n\nhelp: `bind db as \"alias\";`"],
        ),
        (
            "mount x; expose 80;",
            "mount expose",
            vec!["expected `at` after this\n\nhelp: `mount data at \"/path\";`"],
        ),
        (
            "mount at \"/x\"; expose 80;",
            "mount expose",
            vec![
                "expected a cache, directory, file or secret after `mount`\n\nhelp: `mount data at \"/path\";`",
            ],
        ),
        (
            "env; expose 80;",
            "env expose",
            vec!["expected the name of a variable after this\n\nhelp: `env KEY = \"value\";`"],
        ),
        ("env A; expose 80;", "env expose", vec!["expected `=` after this\n\nhelp: `env KEY = \"value\";`"]),
        (
            "env A =; expose 80;",
            "env expose",
            vec!["expected a value after `=`\n\nhelp: `env KEY = \"value\";`"],
        ),
        ("run [; expose 80;", "", vec![]),
        ("run [\"a\" \"b\"]; expose 80;", "run expose", vec!["expected `,` or `;`"]),
        ("imag \"x\"; expose 80;", "imag expose", vec![]),
        ("if { image \"x\"; } expose 80;", "expose", vec!["expected an expression after this"]),
        ("for { image \"x\"; } expose 80;", "expose", vec![]),
        ("let x = ; expose 80;", "expose", vec!["expected an expression"]),
        ("let x = 5 expose 80;", "expose", vec!["expected `;` after this"]),
        ("; ; expose 80;", "expose", vec![]),
        ("5; expose 80;", "expose", vec!["expected a statement"]),
    ] {
        if body.matches(['(', '[', '{']).count() != body.matches([')', ']', '}']).count() {
            // It does not even tokenise; rustc and rust-analyzer report that.
            continue;
        }
        let (found, reported) = recovered(body);
        assert_eq!(found, words, "{body}");
        if !errors.is_empty() {
            assert_eq!(reported, errors, "{body}");
        }
    }
}

#[test]
fn a_half_typed_item_keeps_the_next() {
    for (source, names, errors) in [
        ("service cache a;", "a", 1),
        ("service x cache a;", "x a", 1),
        ("service x = cache a;", "x a", 1),
        ("dir cache a;", "a", 1),
        ("dir x cache a;", "x a", 1),
        ("dir x = cache a;", "x a", 1),
        ("cache x cache a;", "x a", 1),
        ("sevice x { image } cache a;", "x a", 2),
        ("nothing { } cache a;", "a", 1),
        ("nothing x y z; cache a;", "a", 1),
        ("5 cache a;", "a", 1),
        ("#[cfg(x)] cache a;", "a", 1),
        ("/// docs", "", 0),
        ("cache x", "x", 1),
    ] {
        let (pipeline, reported) = parse(source);
        let items = items(&pipeline.nodes);
        let found: Vec<String> =
            items.iter().filter_map(|item| item.name.as_ref()).map(ToString::to_string).collect();
        assert_eq!(found.join(" "), names, "{source}: {reported:?}");
        assert_eq!(reported.len(), errors, "{source}: {reported:?}");
    }
}

#[test]
fn half_typed_values_keep_their_tokens() {
    let (pipeline, _) = parse("container c { image tag.; }");
    let items = items(&pipeline.nodes);
    let statements = statements(items.first().unwrap());
    let StatementKind::Image(Value::Partial(partial)) = &statements.first().unwrap().kind else { panic!() };
    assert_eq!(partial.to_string(), "tag .");
}

/// The positions where rust-analyzer would insert its marker: anywhere between two tokens.
#[test]
fn a_word_typed_anywhere_is_survived() {
    let source = r#"/// Docs.
        service redis { image "redis:7"; expose 6379 as tcp; ready http "/x" on tcp within "5s"; }
        for version in ["3.12", "3.13"] {
            container test { image format!("python:{version}"); bind redis as "db"; if x { env A = y; } else { } exec ["a", b]; }
        }
        match m { Some(n) if n > 1 => { cache data = n; } _ => { } }"#;
    let tokens: TokenStream = source.parse().unwrap();
    let places = count(tokens.clone());
    assert!(places > 80);
    for place in 0..=places {
        let mut input: TokenStream = "::bowline;".parse().unwrap();
        input.extend(with_marker(tokens.clone(), &mut place.clone()));
        let expanded = crate::driver::pipeline(input, crate::expand::Target::Rustc);
        assert!(syn::parse2::<syn::Block>(expanded.clone()).is_ok(), "{place}: {expanded}");
    }
}

fn count(tokens: TokenStream) -> usize {
    tokens
        .into_iter()
        .map(|token| match token {
            proc_macro2::TokenTree::Group(group) => 1 + count(group.stream()),
            _ => 1,
        })
        .sum::<usize>()
        + 1
}

fn with_marker(tokens: TokenStream, place: &mut usize) -> TokenStream {
    let marker = || quote::quote!(raMarker);
    let mut result = TokenStream::new();
    for token in tokens {
        if *place == 0 {
            result.extend(marker());
        }
        *place = place.wrapping_sub(1);
        match token {
            proc_macro2::TokenTree::Group(group) => {
                let inner = with_marker(group.stream(), place);
                result.extend([proc_macro2::Group::new(group.delimiter(), inner)]);
            }
            other => result.extend([other]),
        }
    }
    if *place == 0 {
        result.extend(marker());
    }
    *place = place.wrapping_sub(1);
    result
}
