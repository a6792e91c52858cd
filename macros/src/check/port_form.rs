//! Ports as compose files and Dockerfiles write them: `"6379"`, `"80:8080"`, `"53/udp"`, `[80, 443]`, `8000-8009`.

use quote::ToTokens as _;
use syn::{BinOp, Expr, ExprBinary, ExprLit, Lit};

use super::{Check, Subject};
use crate::ast::{Operand, Probe, StatementKind};
use crate::errors::help;
use crate::registry::PORT_FORM;

pub(super) fn check_forms(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let (port, text) = match &placed.statement.kind {
            StatementKind::Expose(expose) => {
                check_several(cx, &expose.port);
                let text = expose.port.text();
                (text.or_else(|| expose.host.as_ref()?.text()), text.is_some())
            }
            StatementKind::Ready(ready) => match &ready.probe {
                Probe::Http { on: Some(port), .. } => (port.text(), false),
                _ => continue,
            },
            _ => continue,
        };
        let Some(port) = port else { continue };
        let written = port.value();
        let advice = if text { exposed(&written) } else { number(&written).map(|port| format!("`{port}`")) };
        let message = "a port is a number, not text";
        let message = match advice {
            Some(advice) => help(message, advice),
            None => help(message, "`expose 8080;`, with one statement for each port"),
        };
        cx.fault(&PORT_FORM, placed, port.span(), message);
    }
}

/// `expose [80, 443];` and `expose 8000-8009;`
fn check_several(cx: &mut Check, port: &Operand) {
    let is_number = |expr: &Expr| matches!(expr, Expr::Lit(ExprLit { lit: Lit::Int(_), .. }));
    let advice = match port.value().and_then(|value| value.expr()) {
        Some(Expr::Array(list)) => {
            let one = |port: &Expr| match port {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => exposed(&text.value()),
                port => Some(format!("`expose {};`", port.to_token_stream())),
            };
            list.elems.iter().filter_map(one).collect::<Vec<_>>().join(" ")
        }
        Some(Expr::Binary(ExprBinary { left, op: BinOp::Sub(_), right, .. }))
            if is_number(left) && is_number(right) =>
        {
            let (first, last) = (left.to_token_stream(), right.to_token_stream());
            format!("`for port in {first}..={last} {{ expose port; }}`")
        }
        _ => return,
    };
    cx.errors.on(&PORT_FORM, port, help("one statement exposes one port", advice));
}

/// The statement for `"80:8080/tcp"`.
fn exposed(text: &str) -> Option<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => "",
        "udp" => "/udp",
        _ => return None,
    };
    let mut outward = ports.rsplit(':');
    let port = number(outward.next()?)?;
    Some(match outward.next() {
        Some(host) => {
            let host = number(host)?;
            format!(
                "`expose {port}{protocol} on host {host};`\nnote: clients that bind the service need `expose {port}{protocol};` alone"
            )
        }
        None => format!("`expose {port}{protocol};`"),
    })
}

fn number(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::exposed;

    #[test]
    fn what_compose_files_write() {
        for (text, first) in [
            ("6379", "`expose 6379;`"),
            ("53/udp", "`expose 53/udp;`"),
            ("6379/tcp", "`expose 6379;`"),
            ("80:8080", "`expose 8080 on host 80;`"),
            ("127.0.0.1:80:8080/udp", "`expose 8080/udp on host 80;`"),
        ] {
            assert!(exposed(text).is_some_and(|advice| advice.starts_with(first)), "{text}");
        }
        for text in ["", "http", "0", "70000", "8000-8009", "80:", ":80", "80/sctp", "[::1]:80"] {
            assert_eq!(exposed(text), None, "{text}");
        }
    }
}
