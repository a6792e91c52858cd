//! By which names services are found, and by whom.

use bowline::Container;
use bowline_tests::{client, fetch, nonce, relay, server};

/// Asks a name server, as programs do that know of no hosts file: prints each name that has an address.
fn asks(names: &[&str]) -> String {
    format!(
        "for name in {}; do nslookup $name 2>/dev/null | sed -n '/^Name/,$p' | grep -q '^Address.*[0-9]' && echo $name; done; true",
        names.join(" ")
    )
}

#[bowline::test]
async fn a_name_server_knows_alias_and_hostname_of_what_is_bound() {
    let web = server("web");
    let hostname = web.hostname();
    let script = asks(&["www", &hostname, "Upper", "other-alias", "name.invalid"]);
    let both =
        Container::from_image("busybox:1.35").env("NONCE", nonce()).bind("www", &web).bind("Upper", &web);
    assert_eq!(both.shell(script).stdout().await.unwrap(), format!("www\n{hostname}\nUpper\n"));
}

/// Host names do not tell upper from lower case (RFC 4343).
#[bowline::test]
async fn an_alias_is_found_in_upper_and_in_lower_case() {
    let web = server("web");
    let program = "print(get('http://www:8080/env'), get('http://WWW:8080/env'))";
    assert_eq!(client("www", &web, program).stdout().await.unwrap(), "web web\n");
    assert_eq!(client("WwW", &web, program).stdout().await.unwrap(), "web web\n");
    let script = asks(&["www", "WWW"]);
    let asking = Container::from_image("busybox:1.35").env("NONCE", nonce()).bind("www", &web).shell(script);
    assert_eq!(asking.stdout().await.unwrap(), "www\nWWW\n");
}

/// A service that is a client finds what it is bound to by both names, and itself by its own.
#[bowline::test]
async fn a_service_finds_what_it_is_bound_to_by_both_names() {
    let web = server("web");
    let by_both = ["http://behind:8080/env", &format!("http://{}:8080/env", web.hostname())];
    let relay = relay(&by_both).bind("behind", &web);
    let at = format!("http://{}:8080", relay.hostname());
    let by_hostname = format!("print(get('{at}/'), get('{at}/self'))");
    assert_eq!(client("front", &relay, &by_hostname).stdout().await.unwrap(), "webwebx True\n");
}

/// What is promised of a service's name to who is not bound to it: who is bound to nothing neither finds nor reaches it.
#[bowline::test]
async fn who_is_bound_to_nothing_finds_no_service_by_any_name() {
    let web = server("web");
    web.start().await.unwrap();
    let hostname = web.hostname();
    let unbound = Container::from_image("busybox:1.35").env("NONCE", nonce());
    assert_eq!(unbound.shell(asks(&["www", "web", &hostname])).stdout().await.unwrap(), "");
    assert_eq!(fetch("www", &web, "/env").stdout().await.unwrap(), "web");
}
