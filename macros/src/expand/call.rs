//! One statement, one builder call.
//!
//! Every generated token of a call is spanned at the statement's `;`: a mismatch is then underlined at the user's value
//! and at the end of the statement, and not over the whole macro.
//!
//! The call itself has the user's hygiene (`Cx::method`), so that its callee learns where it is written
//! (`#[track_caller]`).

use proc_macro2::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Expr, Lit, LitStr};

use super::{Cx, Target, Tokens};
use crate::ast::{
    Arguments, ExecOption, ExecOptions, Expectation, Expose, Key, Operand, OptionKind, Place, Probe, Ready,
    Statement, StatementKind, Value,
};
use crate::keywords::Takes;
use crate::spelling::default_alias;

impl Cx<'_> {
    /// `.method(…)`, or nothing for statements that were reported and for those that are not calls.
    pub(super) fn call(&self, statement: &Statement) -> Tokens {
        if self.errors.is_left_out(statement.id) {
            return Tokens::default();
        }
        let span = Span::mixed_site().located_at(statement.end());
        let method = |name: &str, arguments: TokenStream| self.method(name, arguments, statement.place());
        match &statement.kind {
            StatementKind::Image(image) => method("image", argument(image)),
            StatementKind::Call(call, arguments) => {
                let arguments = match arguments {
                    Arguments::Nothing => TokenStream::new(),
                    Arguments::Value(value) if matches!(call.takes, Takes::Command) => {
                        self.command(value, span)
                    }
                    Arguments::Value(value) => argument(value),
                    Arguments::Keyed(key, value) => {
                        let (key, value) = (key_text(key), argument(value));
                        quote_spanned!(span=> #key, #value)
                    }
                };
                method(call.method, arguments)
            }
            StatementKind::Shell(command, None) => method("shell", argument(command)),
            StatementKind::Socket { host, path } => {
                let (host, path) = (operand_argument(host), argument(path));
                method("socket", quote_spanned!(span=> #path, #host))
            }
            StatementKind::From(other) => {
                let other = self.named(other, span);
                method("from", other)
            }
            StatementKind::After(other) => {
                let other = self.named(other, span);
                method("after", other)
            }
            StatementKind::File { path, contents } => {
                let (path, contents) = (operand_argument(path), argument(contents));
                method("with_file", quote_spanned!(span=> #path, #contents))
            }
            StatementKind::Mount { source, path, readonly } => {
                let (source, path) = (self.mounted(source, statement), argument(path));
                let name = if readonly.is_some() { "mount_readonly" } else { "mount" };
                method(name, quote_spanned!(span=> #path, #source))
            }
            StatementKind::Copy { source, path } => {
                let (source, path) = (self.mounted(source, statement), argument(path));
                method("copy", quote_spanned!(span=> #path, #source))
            }
            StatementKind::Bind { service, alias } => {
                let alias = match (alias, service) {
                    (Some(alias), _) => argument(alias),
                    (None, Operand::Name(name)) => default_alias(name).into_token_stream(),
                    (None, Operand::Value(_)) => return Tokens::default(),
                };
                let service = self.named(service, span);
                method("bind", quote_spanned!(span=> #alias, #service))
            }
            StatementKind::Exec(command, None) => {
                let command = self.command(command, span);
                method("exec", command)
            }
            StatementKind::Exec(command, Some(options)) => {
                let (krate, command) = (self.krate_at(span), self.command(command, span));
                let options = self.options(options, statement.end());
                method("exec", quote_spanned!(span=> #krate::Exec::new(#command)#options))
            }
            StatementKind::Shell(command, Some(options)) => {
                let (krate, command) = (self.krate_at(span), argument(command));
                let options = self.options(options, statement.end());
                method("exec", quote_spanned!(span=> #krate::Exec::shell(#command)#options))
            }
            StatementKind::Expose(expose) => {
                let port = self.port(expose, span);
                method("expose", port)
            }
            StatementKind::Ready(ready) => {
                let ready = self.ready(ready, span);
                method("ready", ready)
            }
            StatementKind::Stop { signal, within } => {
                let (krate, signal, within) =
                    (self.krate_at(span), operand_argument(signal), limit(within.as_ref(), span));
                method("stop_with", quote_spanned!(span=> #krate::Stop::signal(#signal)#within))
            }
            StatementKind::Export { .. } | StatementKind::NoChoice | StatementKind::Unknown(_) => {
                Tokens::default()
            }
        }
    }

    /// `.name(arguments)`, as if the user had written it where the statement is. Its name and parentheses have the user's
    /// hygiene, so that rustc does not attribute the call to a macro, and gives its callee the place where the call
    /// starts. The name is spanned behind the parentheses, as rustc points at the name if something does not fit.
    pub(super) fn method(&self, name: &str, arguments: TokenStream, place: Place) -> Tokens {
        let Place { start, end } = place;
        let (name_at, parentheses_at) = match self.target {
            Target::Rustc => (end, start),
            Target::Editor => {
                let end = Span::mixed_site().located_at(end);
                (end, end)
            }
        };
        let mut dot = Punct::new('.', Spacing::Alone);
        dot.set_span(Span::mixed_site().located_at(end));
        let name = syn::Ident::new(name, name_at);
        let mut parentheses = Group::new(Delimiter::Parenthesis, arguments);
        parentheses.set_span(parentheses_at);
        let tokens: [TokenTree; 3] = [dot.into(), name.into(), parentheses.into()];
        Tokens(tokens.into())
    }

    /// An array literal has elements of one type, so if one is not a string literal, all are converted to arguments.
    fn command(&self, command: &Value, span: Span) -> TokenStream {
        let Some(list) = command.list() else {
            return argument(command);
        };
        let is_text =
            |element: &Expr| matches!(element, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
        // Nothing else determines the type of an empty list.
        if list.elems.is_empty() {
            return quote_spanned!(span=> [""; 0]);
        }
        if list.elems.iter().all(is_text) {
            return list.to_token_stream();
        }
        let krate = self.krate_at(span);
        let elements = list.elems.iter().map(|element| quote_spanned!(span=> #krate::arg(#element)));
        quote_spanned!(span=> [#(#elements),*])
    }

    fn options(&self, options: &ExecOptions, end: Span) -> TokenStream {
        let krate = self.krate_at(Span::mixed_site().located_at(end));
        let call = |option: &ExecOption| {
            let (method, value) = match &option.kind {
                OptionKind::Stdin(contents) => ("stdin", argument(contents)),
                OptionKind::Timeout(limit) => ("timeout", argument(limit)),
                OptionKind::Stdout(path) => ("stdout_to", argument(path)),
                OptionKind::Stderr(path) => ("stderr_to", argument(path)),
                OptionKind::Fresh(limit) => ("fresh", argument(limit)),
                OptionKind::Uncached => ("uncached", TokenStream::new()),
                OptionKind::Expect(Expectation::Success) => ("expect", quote!(#krate::Expect::Success)),
                OptionKind::Expect(Expectation::Failure) => ("expect", quote!(#krate::Expect::Failure)),
                OptionKind::Expect(Expectation::Any) => ("expect", quote!(#krate::Expect::Any)),
                OptionKind::Unknown => return Tokens::default(),
            };
            self.method(method, value, Place { start: option.keyword.span(), end })
        };
        let calls = options.list.iter().map(call);
        quote!(#(#calls)*)
    }

    fn port(&self, expose: &Expose, span: Span) -> TokenStream {
        let (krate, number) = (self.krate_at(span), operand_argument(&expose.port));
        let constructor = syn::Ident::new(if expose.is_udp() { "udp" } else { "tcp" }, span);
        let name = expose.name.as_ref().map(|name| {
            let name = LitStr::new(&name.unraw().to_string(), span);
            quote_spanned!(span=> .named(#name))
        });
        let unprobed = expose.unprobed.as_ref().map(|_| quote_spanned!(span=> .unprobed()));
        let host = expose.host.as_ref().map(|host| {
            let port = operand_argument(host);
            quote_spanned!(span=> .on_host(#port))
        });
        quote_spanned!(span=> #krate::Port::#constructor(#number)#name #host #unprobed)
    }

    fn ready(&self, ready: &Ready, span: Span) -> TokenStream {
        let krate = self.krate_at(span);
        let within = limit(ready.within.as_ref(), span);
        let probe = match &ready.probe {
            Probe::Port | Probe::Missing => quote_spanned!(span=> port()),
            Probe::Image => quote_spanned!(span=> image()),
            Probe::Exec(command) => {
                let command = match command {
                    Operand::Value(value) => self.command(value, span),
                    Operand::Name(name) => name.to_token_stream(),
                };
                quote_spanned!(span=> exec(#command))
            }
            Probe::Http { path, on } => {
                let path = operand_argument(path);
                let on = on.as_ref().map(|on| {
                    let on = match on {
                        Operand::Name(name) => {
                            LitStr::new(&name.unraw().to_string(), span).into_token_stream()
                        }
                        Operand::Value(value) => argument(value),
                    };
                    quote_spanned!(span=> .on(#on))
                });
                quote_spanned!(span=> http(#path)#on)
            }
            Probe::Log { text, times } => {
                let text = operand_argument(text);
                let times = times.as_ref().map(|times| {
                    let times = operand_argument(times);
                    quote_spanned!(span=> .times(#times))
                });
                quote_spanned!(span=> log(#text)#times)
            }
        };
        quote_spanned!(span=> #krate::Ready::#probe #within)
    }

    /// An item is borrowed; a variable may be a value or a reference, and a clone of either is a value.
    fn mounted(&self, source: &Operand, statement: &Statement) -> TokenStream {
        match source {
            Operand::Name(name) if self.is_variable(name, statement) => {
                let span = Span::mixed_site().located_at(statement.end());
                quote_spanned!(span=> #name.clone())
            }
            Operand::Name(_) => self.named(source, Span::mixed_site().located_at(statement.end())),
            Operand::Value(value) => argument(value),
        }
    }

    /// A borrowed operand of a call. For an editor a known name is spanned at the end of the statement: where the user
    /// typed it, it leads only to the field of the handles.
    pub(super) fn named(&self, operand: &Operand, span: Span) -> TokenStream {
        match operand {
            Operand::Name(name)
                if self.target == Target::Editor
                    && self.names.declared(&name.unraw().to_string()).is_some() =>
            {
                let mut name = name.clone();
                name.set_span(name.span().located_at(span));
                lent(name)
            }
            other => operand_borrowed(other),
        }
    }

    fn is_variable(&self, name: &syn::Ident, statement: &Statement) -> bool {
        let scope = self.names.scope_of(statement);
        scope.is_some_and(|scope| {
            matches!(self.names.meaning(&name.unraw().to_string(), scope), crate::names::Meaning::Local)
        })
    }
}

fn key_text(key: &Key) -> TokenStream {
    match key {
        Key::Name(name) => LitStr::new(&name.unraw().to_string(), name.span()).into_token_stream(),
        Key::Text(text) => text.to_token_stream(),
        Key::Expr(value) => argument(value),
    }
}

fn limit(within: Option<&Operand>, span: Span) -> TokenStream {
    within.map_or_else(TokenStream::new, |within| {
        let within = operand_argument(within);
        quote_spanned!(span=> .within(#within))
    })
}

/// A value without the parentheses that the language requires and rustc would report as unused.
pub(super) fn argument(value: &Value) -> TokenStream {
    match value.expr() {
        Some(Expr::Paren(paren)) if paren.attrs.is_empty() => paren.expr.to_token_stream(),
        // Only editors see it: it has any type, so that they report nothing further.
        None if value.is_missing() => quote!(loop {}),
        None => without_parentheses(value),
        _ => value.to_token_stream(),
    }
}

pub(super) fn operand_argument(operand: &Operand) -> TokenStream {
    match operand {
        Operand::Name(name) => name.to_token_stream(),
        Operand::Value(value) => argument(value),
    }
}

pub(super) fn operand_borrowed(operand: &Operand) -> TokenStream {
    match operand {
        Operand::Name(name) => lent(name),
        Operand::Value(value) => borrowed(value),
    }
}

/// `&value`, with parentheses if `&` would otherwise bind to the first part only.
pub(super) fn borrowed(value: &Value) -> TokenStream {
    let inner = match value.expr() {
        Some(Expr::Paren(paren)) if paren.attrs.is_empty() => Some(&*paren.expr),
        other => other,
    };
    match inner {
        Some(
            expr @ (Expr::Path(_)
            | Expr::Call(_)
            | Expr::MethodCall(_)
            | Expr::Field(_)
            | Expr::Index(_)
            | Expr::Macro(_)
            | Expr::Try(_)
            | Expr::Await(_)
            | Expr::Unary(_)
            | Expr::Reference(_)
            | Expr::Lit(_)),
        ) => lent(expr),
        Some(expr) => lent(quote!((#expr))),
        None => lent(argument(value)),
    }
}

/// The same as for a complete value, because an editor compares the two.
fn without_parentheses(partial: &Value) -> TokenStream {
    let mut tokens = partial.to_token_stream().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Parenthesis => {
            group.stream()
        }
        _ => partial.to_token_stream(),
    }
}

/// The `&` is spanned where the value starts, so that rustc underlines the value if its type is wrong.
fn lent(value: impl ToTokens) -> TokenStream {
    let value = value.into_token_stream();
    let start = value.clone().into_iter().next().map_or_else(Span::mixed_site, |token| token.span());
    let and = quote_spanned!(Span::mixed_site().located_at(start)=> &);
    quote!(#and #value)
}
