//! Why a service does not answer at a port: what it listens on instead.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::engine::{Listening, PortNumber};
use crate::model::{HostServer, Protocol};

/// A port that does not answer.
pub(in crate::session) struct Unanswered<'a> {
    /// The service's name.
    pub(in crate::session) service: &'a str,
    /// The command that the service runs.
    pub(in crate::session) args: &'a [String],
    pub(in crate::session) port: PortNumber,
    /// The ports that the service exposes.
    pub(in crate::session) exposed: &'a [PortNumber],
}

/// What is known of a port that does not answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) struct Explained {
    /// What the service listens on, to go on with after the finding of a probe.
    pub(in crate::session) finding: String,
    /// What to do.
    pub(in crate::session) help: String,
}

/// More addresses than these are not listed.
const MOST_LISTED: usize = 5;

/// What a service's sockets say of a port that does not answer.
pub(in crate::session) fn explain(unanswered: &Unanswered<'_>, sockets: &BTreeSet<Listening>) -> Explained {
    let Unanswered { service, args, port, exposed } = unanswered;
    let PortNumber { protocol, number } = *port;
    let at_port: Vec<_> = sockets.iter().filter(|socket| socket.address.port() == number).collect();
    let own: Vec<_> = at_port.iter().copied().filter(|socket| socket.protocol == protocol).collect();
    if !own.is_empty() {
        return reached_or_not(service, args, &own);
    }
    if !at_port.is_empty() {
        let other = match protocol {
            Protocol::Tcp => Protocol::Udp,
            Protocol::Udp => Protocol::Tcp,
        };
        let exposes = statement(PortNumber { protocol: other, number });
        return Explained {
            finding: format!("it listens on {number}/{other}"),
            help: format!(
                "`{service}` listens on {number}/{other}, but {number}/{protocol} is exposed: `{exposes}`"
            ),
        };
    }
    let of_protocol: Vec<_> = sockets.iter().filter(|socket| socket.protocol == protocol).collect();
    let is_exposed = |socket: &Listening| {
        exposed.iter().any(|port| port.protocol == socket.protocol && port.number == socket.address.port())
    };
    let unexposed: Vec<_> = of_protocol.iter().copied().filter(|socket| !is_exposed(socket)).collect();
    if !unexposed.is_empty() {
        let found = list(unexposed.iter().map(|socket| show(socket)));
        let for_all = unexposed.iter().find(|socket| socket.address.ip().is_unspecified());
        let what = match for_all.map(|socket| PortNumber { protocol, number: socket.address.port() }) {
            Some(instead) => format!("`{}`, or let it listen on {number}", statement(instead)),
            None => format!("let it listen on {number}, at 0.0.0.0{}", how(args)),
        };
        return Explained {
            finding: format!("it listens on {found}"),
            help: format!("`{service}` listens on {found}, but {number} is exposed: {what}"),
        };
    }
    if !of_protocol.is_empty() {
        let found = list(of_protocol.iter().map(|socket| show(socket)));
        return Explained {
            finding: format!("it listens on {found} alone"),
            help: format!(
                "`{service}` listens on its other ports and not on {number}: leave `{}` out, let it listen there, or \
                 add `unprobed` if it does so later",
                statement(*port)
            ),
        };
    }
    let none = if sockets.is_empty() { "no port".to_owned() } else { format!("no {protocol} port") };
    Explained {
        help: format!(
            "`{service}` listens on {none} yet: see what it wrote; where it only needs longer, say so: `ready port within \
             \"2m\";`"
        ),
        finding: format!("it listens on {none}"),
    }
}

/// What to do where nothing answers at the addresses of a server outside of all containers.
pub(in crate::session) fn no_server(
    service: &str,
    server: &HostServer,
    silent: impl Iterator<Item = PortNumber>,
) -> Vec<String> {
    let addresses = silent.filter_map(|silent| {
        let found = server.forwards.iter().find(|(port, _)| PortNumber::from(port) == silent);
        found.map(|(_, address)| address)
    });
    match list(addresses).as_str() {
        "" => Vec::new(),
        addresses => vec![format!(
            "nothing answers at {addresses}: start the server of `{service}` before the pipeline, or name where it is"
        )],
    }
}

/// For sockets that have the port. Those at a loopback address, or at one of several, others do not reach.
fn reached_or_not(service: &str, args: &[String], own: &[&Listening]) -> Explained {
    let addresses = list(own.iter().map(|socket| socket.address));
    if own.iter().any(|socket| socket.address.ip().is_unspecified()) {
        return Explained {
            finding: format!("it listens on {addresses} by now"),
            help: format!(
                "`{service}` listens on it, but did so too late, or for IPv6 alone: raise the limit (`ready port within \
                 \"2m\";`), or let it listen on 0.0.0.0"
            ),
        };
    }
    Explained {
        finding: format!("it listens on {addresses} only"),
        help: format!(
            "`{service}` listens on {addresses} only, which no other container reaches: let it listen on 0.0.0.0{}",
            how(args)
        ),
    }
}

/// The number alone where everybody is served, else the whole address.
fn show(socket: &Listening) -> String {
    if socket.address.ip().is_unspecified() {
        format!("{}/{}", socket.address.port(), socket.protocol)
    } else {
        socket.to_string()
    }
}

/// Texts in their order, each once, and how many more there are.
fn list(texts: impl Iterator<Item = impl Display>) -> String {
    let mut listed: Vec<String> = Vec::new();
    for text in texts.map(|text| text.to_string()) {
        if !listed.contains(&text) {
            listed.push(text);
        }
    }
    let more = listed.len().saturating_sub(MOST_LISTED);
    listed.truncate(MOST_LISTED);
    let listed = listed.join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// The statement that exposes a port.
fn statement(port: PortNumber) -> String {
    match port.protocol {
        Protocol::Tcp => format!("expose {};", port.number),
        Protocol::Udp => format!("expose {}/udp;", port.number),
    }
}

/// The options by which well-known servers listen everywhere, by a word of their command lines.
const EVERYWHERE: [(&str, &str); 14] = [
    ("redis-server", "--bind 0.0.0.0"),
    ("valkey-server", "--bind 0.0.0.0"),
    ("postgres", "-c listen_addresses=*"),
    ("mysqld", "--bind-address=0.0.0.0"),
    ("mariadbd", "--bind-address=0.0.0.0"),
    ("mongod", "--bind_ip_all"),
    ("memcached", "-l 0.0.0.0"),
    ("http.server", "--bind 0.0.0.0"),
    ("uvicorn", "--host 0.0.0.0"),
    ("flask", "--host 0.0.0.0"),
    ("gunicorn", "--bind 0.0.0.0:PORT"),
    ("runserver", "0.0.0.0:PORT"),
    ("vite", "--host 0.0.0.0"),
    ("rails", "--binding 0.0.0.0"),
];

/// How a well-known server is told so.
fn how(args: &[String]) -> String {
    everywhere(args).map(|option| format!(" (`{option}`)")).unwrap_or_default()
}

fn everywhere(args: &[String]) -> Option<&'static str> {
    let words = || args.iter().flat_map(|arg| arg.split_whitespace());
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    EVERYWHERE
        .iter()
        .find(|(program, _)| words().any(|word| name(word) == *program))
        .map(|(_, option)| *option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(texts: &[&str]) -> BTreeSet<Listening> {
        let parse = |text: &&str| {
            let (address, protocol) = text.rsplit_once('/').unwrap();
            let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
            Listening { protocol, address: address.parse().unwrap() }
        };
        texts.iter().map(parse).collect()
    }

    fn of(args: &[&str], port: (u16, Protocol), exposed: &[u16], listening: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let tcp = |number: &u16| PortNumber { protocol: Protocol::Tcp, number: *number };
        let exposed: Vec<_> = exposed.iter().map(tcp).collect();
        let port = PortNumber { protocol: port.1, number: port.0 };
        let unanswered = Unanswered { service: "db", args: &args, port, exposed: &exposed };
        let Explained { finding, help } = explain(&unanswered, &sockets(listening));
        format!("{finding}\n{help}")
    }

    #[test]
    fn what_a_service_listens_on_instead_is_said() {
        let tcp = |number| (number, Protocol::Tcp);
        let redis = ["docker-entrypoint.sh", "/usr/bin/redis-server", "--bind", "127.0.0.1"];
        let cases = [
            of(&redis, tcp(6379), &[6379], &["127.0.0.1:6379/tcp", "[::1]:6379/tcp"]),
            of(&["sh", "-c", "serve -x"], tcp(80), &[80], &["10.0.0.7:80/tcp"]),
            of(&[], tcp(8080), &[8080], &["0.0.0.0:8000/tcp", "[::]:8000/tcp", "127.0.0.1:1/udp"]),
            of(&[], tcp(9999), &[9999, 8080], &["0.0.0.0:8080/tcp"]),
            of(&[], tcp(53), &[53], &["0.0.0.0:53/udp"]),
            of(&[], (53, Protocol::Udp), &[], &["0.0.0.0:53/tcp"]),
            of(&[], (53, Protocol::Udp), &[], &["127.0.0.1:5353/udp", "0.0.0.0:8080/tcp"]),
            of(&[], (53, Protocol::Udp), &[], &["0.0.0.0:8080/tcp"]),
            of(&[], tcp(80), &[80], &["[::]:80/tcp"]),
            of(&[], tcp(80), &[80], &[]),
        ];
        insta::assert_snapshot!(cases.join("\n\n"));
    }

    #[test]
    fn a_service_with_many_ports_fills_no_screen() {
        let many: Vec<String> = (1000..2000).map(|port| format!("0.0.0.0:{port}/tcp")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = of(&[], (80, Protocol::Tcp), &[80], &many);
        assert!(text.contains("1004/tcp and 995 more") && text.len() < 300, "{text}");
    }
}
