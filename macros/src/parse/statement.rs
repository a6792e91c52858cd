//! Statements: a keyword, and what follows it.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{Expr, LitStr, Token, token};

use super::recover::skip_to_semicolon;
use super::{Leaf, Parser, before, foreign};
use crate::ast::{Arguments, Expose, Key, Operand, Probe, Ready, Statement, StatementKind, Value};
use crate::errors::help;
use crate::keywords::{
    self, AS, AS_OR_ON_OR_UNPROBED, AT, Call, Choice, Grammar, HOST, Keyword, ON_OR_UNPROBED, ON_OR_WITHIN,
    PROTOCOL, READONLY, TIMES_OR_WITHIN, TO, Takes, UNPROBED, WITHIN, Words,
};
use crate::registry::{MISSING_NAME, PORT_ON_HOST, PORT_PROTOCOL, UNKNOWN_PROBE};
use crate::rules::did_you_mean;

impl Leaf for Statement {
    const WHAT: &'static str = "a statement";
    const HAS_MENTIONS: bool = false;

    fn parse(parser: &mut Parser, input: ParseStream) -> Option<Self> {
        let before_all = parser.errors.len();
        let docs = parser.docs(input);
        parser.misplaced(&docs);
        let keyword = input.fork().call(Ident::parse_any).ok()?;
        let text = keyword.to_string();
        if foreign::starts_control(input) {
            return None;
        }
        let _ = input.call(Ident::parse_any);
        let word = keywords::statement(&text);
        let is_marked = word.is_some_and(|word| match word.grammar {
            // `env = "x"` lacks its key.
            Grammar::Call(Call { takes: Takes::Keyed { .. }, .. }) => {
                parser.colon(input, &keyword, word.form)
            }
            _ => parser.colon_or_equals(input, &keyword, word.form),
        });
        let before_kind = parser.errors.len();
        parser.slots.clear();
        if let Some(word) = word {
            parser.want(&text, word.form);
        }
        let (kind, words) = match word {
            Some(word) => parser.statement_kind(word, input),
            None => (StatementKind::Unknown(foreign::word(input, &keyword)), [].as_slice()),
        };
        let has_options = matches!(kind, StatementKind::Exec(_, Some(_)) | StatementKind::Shell(_, Some(_)));
        let semi = if matches!(kind, StatementKind::Unknown(_)) {
            // Reported by the checks, which know the kind of body.
            foreign::skip(input, false);
            None
        } else if has_options || is_marked {
            // Braces end a statement, as in Rust.
            input.parse().ok()
        } else {
            parser.semicolon(input, parser.errors.len() > before_kind, words)
        };
        if is_marked && semi.is_none() && !has_options {
            foreign::skip(input, true);
        }
        if is_marked {
            parser.errors.truncate(before_kind);
        }
        parser.wanted = None;
        let (slots, complete) = (std::mem::take(&mut parser.slots), parser.errors.len() == before_all);
        Some(Self { id: parser.id(), keyword, word, kind, slots, semi, complete })
    }
}

impl Parser {
    /// The statement of a keyword, and the words that could have followed what was read.
    fn statement_kind(
        &mut self,
        &Keyword { word, form, ref grammar, .. }: &'static Keyword,
        input: ParseStream,
    ) -> (StatementKind, &'static [&'static str]) {
        use StatementKind as S;
        match grammar {
            Grammar::Call(call) => return (S::Call(call, self.arguments(call, input, form)), &[]),
            Grammar::Choice(choice) => return (self.choice(choice, input, form), &[]),
            Grammar::Own => {}
        }
        match word {
            "image" => (S::Image(self.value(input)), &[]),
            "from" => (S::From(self.reference(input, false)), &[]),
            "socket" => {
                let host = self.operand(input);
                let found = is_read(&host) && self.slot(input, &AT).is_some();
                let path = self.after_word(input, &host, found, "at", form);
                (S::Socket { host, path }, &[])
            }
            "file" => {
                let path = self.operand(input);
                let contents = self.after_equals(input, form);
                (S::File { path, contents }, &[])
            }
            "mount" => {
                let source = self.joined(input, "at");
                let found = is_read(&source) && self.slot(input, &AT).is_some();
                let path = self.mount_path(input, &source, found, form);
                let readonly = self.slot(input, &READONLY);
                let words: &[_] = if readonly.is_none() { &["readonly"] } else { &[] };
                (S::Mount { source, path, readonly }, words)
            }
            "copy" => {
                let source = self.joined(input, "to");
                let found = is_read(&source) && self.slot(input, &TO).is_some();
                let path = self.after_word(input, &source, found, "to", form);
                (S::Copy { source, path }, &[])
            }
            "bind" => {
                let service = self.reference(input, true);
                let alias = self.slot(input, &AS).map(|_| self.value(input));
                let words: &[_] = if alias.is_none() { &["as"] } else { &[] };
                (S::Bind { service, alias }, words)
            }
            "exec" => {
                let (command, options) = self.command(input, word);
                (S::Exec(command, options), &[])
            }
            "shell" => {
                let (command, options) = self.command(input, word);
                (S::Shell(command, options), &[])
            }
            "expose" => self.expose(input),
            "ready" => self.ready(input),
            "stop" => {
                let signal = self.operand(input);
                let within = self.within(input);
                let words: &[_] = if within.is_none() { &["within"] } else { &[] };
                (S::Stop { signal, within }, words)
            }
            "after" => (S::After(self.reference(input, false)), &[]),
            "export" => {
                let path = self.operand(input);
                let as_word = if is_read(&path) { self.slot(input, &AS) } else { None };
                let found = is_read(&path) && self.joining(input, as_word.is_some(), "as", form);
                let name = as_word.filter(|_| found).and_then(|word| self.name(input, &word));
                (S::Export { path, name }, &[])
            }
            _ => (S::NoChoice, &[]),
        }
    }

    fn arguments(&mut self, call: &Call, input: ParseStream, form: &str) -> Arguments {
        match call.takes {
            Takes::Nothing => Arguments::Nothing,
            Takes::Value(_) | Takes::Command => Arguments::Value(self.value(input)),
            Takes::Keyed { what, .. } => {
                let (key, value) = self.keyed(input, what, form);
                Arguments::Keyed(key, value)
            }
        }
    }

    fn choice(&mut self, choice: &'static Choice, input: ParseStream, form: &str) -> StatementKind {
        if let Some(word) = self.slot(input, choice.words)
            && let Some(chosen) = choice.of(&word)
        {
            return StatementKind::Call(&chosen.call, self.arguments(&chosen.call, input, form));
        }
        self.stray(input);
        let (span, message) = match input.fork().call(Ident::parse_any) {
            Ok(word) => (word.span(), format!("cannot {} `{word}`", choice.verb)),
            Err(_) => (before(input), format!("expected {} after this", choice.missing)),
        };
        self.errors.at(choice.unknown, span, help(message, choice.forms()));
        skip_to_semicolon(input);
        StatementKind::NoChoice
    }

    fn after_word(
        &mut self,
        input: ParseStream,
        operand: &Operand,
        found: bool,
        word: &str,
        form: &str,
    ) -> Value {
        if is_read(operand) && self.joining(input, found, word, form) {
            self.value(input)
        } else {
            Value::Partial(skip_to_semicolon_from_here(input))
        }
    }

    fn after_equals(&mut self, input: ParseStream, form: &str) -> Value {
        let found = input.parse::<Token![=]>().is_ok() || self.colon_for_equals(input, form);
        if let Some(wanted) = &mut self.wanted {
            (wanted.what, wanted.after) = (keywords::wanted("="), "=".to_owned());
        }
        if self.joining(input, found, "=", form) {
            self.value(input)
        } else {
            Value::Partial(skip_to_semicolon_from_here(input))
        }
    }

    /// As [`after_word`](Self::after_word), but `readonly` may follow. No Rust expression continues with a plain word, so
    /// the path may be any expression.
    fn mount_path(&mut self, input: ParseStream, source: &Operand, found: bool, form: &str) -> Value {
        let ahead = input.fork();
        if found
            && let Ok(expr) = ahead.parse::<Expr>()
            && Self::word(&ahead.fork(), "readonly").is_some()
        {
            input.advance_to(&ahead);
            return Value::Expr(Box::new(expr));
        }
        self.after_word(input, source, found, "at", form)
    }

    /// `NAME = VALUE`; `what` says what the name is of.
    fn keyed(&mut self, input: ParseStream, what: &str, form: &str) -> (Key, Value) {
        let key = if input.peek(LitStr) {
            input.parse().map(Key::Text).ok()
        } else if input.peek(token::Paren) {
            match self.operand(input) {
                Operand::Value(value) => Some(Key::Expr(value)),
                Operand::Name(_) => None,
            }
        } else if super::recover::starts_statement(input) && !input.peek2(Token![=]) {
            None
        } else {
            input.call(Ident::parse_any).map(Key::Name).ok()
        };
        let Some(key) = key else {
            let message = help(format!("expected the name of {what} after this"), format!("`{form}`"));
            self.errors.at(&MISSING_NAME, before(input), message);
            let partial = Value::Partial(skip_to_semicolon_from_here(input));
            return (Key::Expr(Value::Partial(TokenStream::new())), partial);
        };
        let value = self.after_equals(input, form);
        (key, value)
    }

    /// In `mount at "/x"` the operand is missing; only `mount at at "/x"` refers to something called `at`.
    fn joined(&mut self, input: ParseStream, word: &str) -> Operand {
        let fork = input.fork();
        if Self::word(&fork, word).is_some() && Self::word(&fork, word).is_none() {
            self.missing_value(input);
            skip_to_semicolon(input);
            return Operand::Value(Value::Partial(TokenStream::new()));
        }
        self.reference(input, false)
    }

    fn expose(&mut self, input: ParseStream) -> (StatementKind, &'static [&'static str]) {
        let port = self.operand_or_value(input, |rest| {
            let protocol = rest.peek(Token![/]) && rest.peek2(syn::Ident);
            protocol || rest.peek(Token![as]) || rest.peek(syn::Ident) || foreign::is_colon(rest)
        });
        let (port, mapped) = self.mapping(input, port);
        let protocol = if input.peek(Token![/]) { self.protocol(input) } else { None };
        let mut word = self.slot(input, &AS_OR_ON_OR_UNPROBED);
        let mut name = None;
        if let Some(before) = word.take_if(|word| word == "as") {
            name = self.name(input, &before);
            word = self.slot(input, &ON_OR_UNPROBED);
        }
        let mut host = mapped;
        if let Some(on) = word.take_if(|word| word == "on") {
            host = self.host_port(input, &on);
            word = self.slot(input, &UNPROBED);
        }
        let unprobed = word;
        let words: &[_] = match (&protocol, &name, &host, &unprobed) {
            (_, _, _, Some(_)) => &[],
            (_, _, Some(_), None) => &["unprobed"],
            (_, Some(_), None, None) => &["on", "unprobed"],
            (Some(_), None, None, None) => &["as", "on", "unprobed"],
            (None, None, None, None) => &["/udp", "as", "on", "unprobed"],
        };
        (StatementKind::Expose(Box::new(Expose { port, protocol, name, host, unprobed })), words)
    }

    /// The port of the machine after `on`.
    fn host_port(&mut self, input: ParseStream, on: &Ident) -> Option<Operand> {
        if self.slot(input, &HOST).is_some() {
            return Some(self.operand(input));
        }
        let advice = "write `on host 8080`";
        self.errors.at(&PORT_ON_HOST, on.span(), help("expected `host` after `on`", advice));
        skip_to_semicolon(input);
        None
    }

    fn protocol(&mut self, input: ParseStream) -> Option<Ident> {
        let slash: Token![/] = input.parse().ok()?;
        self.slot_of(input, &PROTOCOL);
        let protocol = input.fork().call(Ident::parse_any).ok();
        if let Some(protocol) = protocol {
            let _ = input.call(Ident::parse_any);
            if protocol == "tcp" || protocol == "udp" {
                return Some(protocol);
            }
            let message = help(format!("unknown protocol `{protocol}`"), "write `/tcp` or `/udp`");
            self.errors.at(&PORT_PROTOCOL, protocol.span(), message);
        } else {
            self.errors.at(&PORT_PROTOCOL, slash.span, "expected `tcp` or `udp` after `/`");
        }
        None
    }

    fn ready(&mut self, input: ParseStream) -> (StatementKind, &'static [&'static str]) {
        let word = probe_word(input);
        let (probe, within) = self.probe(input);
        let open = self.slots.last().filter(|slot| slot.word.is_none() && within.is_none());
        let words = open.map_or::<&[_], _>(&[], |slot| slot.words.words);
        (StatementKind::Ready(Box::new(Ready { word, probe, within })), words)
    }

    /// The probe, and the limit after `within`.
    fn probe(&mut self, input: ParseStream) -> (Probe, Option<Operand>) {
        let word = input.fork().call(Ident::parse_any).ok();
        let known = word.as_ref().is_some_and(|word| keywords::PROBES.iter().any(|probe| word == probe));
        let Some(word) = word.filter(|_| known) else {
            self.unknown_probe(input);
            skip_to_semicolon_from_here(input);
            return (Probe::Missing, None);
        };
        let _ = input.call(Ident::parse_any);
        self.want_after(&word);
        match word.to_string().as_str() {
            "port" => (Probe::Port, self.within(input)),
            "image" => (Probe::Image, self.within(input)),
            "exec" => (Probe::Exec(self.list_or_operand(input)), self.within(input)),
            "http" => {
                let path = self.operand(input);
                let (on, within) = self.or_within(input, &ON_OR_WITHIN);
                (Probe::Http { path, on }, within)
            }
            _ => {
                let text = self.operand(input);
                let (times, within) = self.or_within(input, &TIMES_OR_WITHIN);
                (Probe::Log { text, times }, within)
            }
        }
    }

    /// The operand after a word, and the one after `within`; both may be left out.
    fn or_within(&mut self, input: ParseStream, words: &'static Words) -> (Option<Operand>, Option<Operand>) {
        match self.slot(input, words) {
            Some(word) if word == "within" => (None, Some(self.operand(input))),
            Some(_) => (Some(self.operand(input)), self.within(input)),
            None => (None, None),
        }
    }

    fn unknown_probe(&mut self, input: ParseStream) {
        let all = "`ready` takes `port`, `http \"/path\"`, `exec [...]`, `log \"text\"` or `image`";
        match input.fork().call(Ident::parse_any) {
            Ok(word) => {
                let text = word.to_string();
                let advice = did_you_mean(&text, keywords::PROBES.iter().copied()).map_or_else(
                    || all.to_owned(),
                    |near| format!("a probe with a similar name exists: `{near}`"),
                );
                self.errors.at(
                    &UNKNOWN_PROBE,
                    word.span(),
                    help(format!("cannot find probe `{text}`"), advice),
                );
            }
            Err(_) => self.errors.at(&UNKNOWN_PROBE, before(input), help("expected a probe after this", all)),
        }
    }

    fn within(&mut self, input: ParseStream) -> Option<Operand> {
        self.slot(input, &WITHIN).map(|_| self.operand(input))
    }
}

/// The word that names the probe, unless it already starts the next statement.
fn probe_word(input: ParseStream) -> Option<Ident> {
    let word = input.fork().call(Ident::parse_any).ok()?;
    let is_probe = keywords::PROBES.iter().any(|probe| word == probe);
    (is_probe || !super::recover::starts_statement(input)).then_some(word)
}

/// Nothing more is reported for a statement whose operand was already reported.
fn is_read(operand: &Operand) -> bool {
    !matches!(operand, Operand::Value(Value::Partial(_)))
}

/// As [`skip_to_semicolon`], but skips nothing if a statement starts here.
fn skip_to_semicolon_from_here(input: ParseStream) -> TokenStream {
    if super::recover::starts_another(input) { TokenStream::new() } else { skip_to_semicolon(input) }
}
