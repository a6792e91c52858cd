//! What people bring along from YAML and from command lines: `image: "x"`, `runs-on`, `my-db`, `80:8080`, and options
//! without braces. Each is reported once, and read as what was meant.

use proc_macro2::{Ident, Span, TokenTree};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{Expr, ExprLit, Lit, LitFloat, LitInt, Token, token};

use super::recover::starts_statement;
use super::{Parser, between};
use crate::ast::{Foreign, Operand, Value};
use crate::counterparts;
use crate::errors::help;
use crate::keywords::{self, CONTROL, OPTION, option_form};
use crate::registry::{DASHED_NAME, FOREIGN_MARK, OPTION_OUTSIDE, PORT_FORM};

/// Whether Rust's control flow starts here; `if: …` and `continue-on-error` are words of YAML.
pub(super) fn starts_control(input: ParseStream) -> bool {
    let is_control = |word: &Ident| CONTROL.iter().any(|control| word == control);
    let Some((word, _)) = input.cursor().ident().filter(|(word, _)| is_control(word)) else {
        return false;
    };
    let ahead = input.fork();
    let _ = ahead.call(Ident::parse_any);
    let is_dashed = (word == "continue" || word == "break") && is_dash(&ahead);
    !is_colon(&ahead) && !is_dashed
}

/// `:`, and not `::`.
pub(super) fn is_colon(input: ParseStream) -> bool {
    input.peek(Token![:]) && !input.peek(Token![::])
}

/// A `-` between two parts of a word.
pub(super) fn is_dash(input: ParseStream) -> bool {
    let joins = input.peek2(Ident::peek_any) || input.peek2(LitInt) || input.peek2(LitFloat);
    input.peek(Token![-]) && !input.peek(Token![->]) && !input.peek(Token![-=]) && joins
}

/// An unknown word, with what is joined to it.
pub(super) fn word(input: ParseStream, first: &Ident) -> Foreign {
    let (rest, end) = dashes(input).unwrap_or_else(|| (String::new(), first.span()));
    Foreign { text: format!("{first}{rest}"), start: first.span(), end }
}

/// Skips to the end of a line of another language, which need not be a `;`: where a line of it or of ours starts, or
/// behind braces.
pub(super) fn skip(input: ParseStream, mut may_start: bool) {
    let ends = |may_start| input.is_empty() || starts_statement(input) || (may_start && starts_line(input));
    while !ends(may_start) {
        if input.parse::<Token![;]>().is_ok() {
            return;
        }
        let is_last = input.peek(token::Brace);
        let _ = input.parse::<TokenTree>();
        if is_last {
            return;
        }
        may_start = true;
    }
}

/// `ports: …` and `COPY …`.
fn starts_line(input: ParseStream) -> bool {
    let Some((word, _)) = input.cursor().ident() else {
        return false;
    };
    let ahead = input.fork();
    let _ = ahead.call(Ident::parse_any);
    let word = word.to_string();
    // What is in upper case in YAML is the name of a variable.
    let is_instruction = word.chars().all(|c| c.is_ascii_uppercase());
    is_instruction != is_colon(&ahead)
        && (keywords::statement(&word).is_some() || counterparts::is_known(&word))
}

/// `-b-c`, if there is any.
fn dashes(input: ParseStream) -> Option<(String, Span)> {
    let mut found: Option<(String, Span)> = None;
    while is_dash(input) && input.parse::<Token![-]>().is_ok() {
        let Ok(part) = input.parse::<TokenTree>() else { break };
        let text = found.map(|(text, _)| text).unwrap_or_default();
        found = Some((format!("{text}-{part}"), part.span()));
    }
    found
}

impl Parser {
    /// `:` behind a word. If there is one, whatever else is wrong behind it may follow from it.
    pub(super) fn colon(&mut self, input: ParseStream, word: &Ident, form: &str) -> bool {
        is_colon(input) && self.mark(input, word, ":", form)
    }

    /// `:` or `=` behind a word.
    pub(super) fn colon_or_equals(&mut self, input: ParseStream, word: &Ident, form: &str) -> bool {
        let is_equals = input.peek(Token![=]) && !input.peek(Token![==]) && !input.peek(Token![=>]);
        self.colon(input, word, form) || (is_equals && self.mark(input, word, "=", form))
    }

    fn mark(&mut self, input: ParseStream, word: &Ident, mark: &str, form: &str) -> bool {
        let message = help(format!("no `{mark}` stands behind `{word}`"), format!("`{form}`"));
        self.errors.at(&FOREIGN_MARK, input.span(), message);
        input.parse::<TokenTree>().is_ok()
    }

    /// `env KEY: "value";`
    pub(super) fn colon_for_equals(&mut self, input: ParseStream, form: &str) -> bool {
        if !is_colon(input) {
            return false;
        }
        let message = help("`=` stands between a key and its value, and not `:`", format!("`{form}`"));
        self.errors.at(&FOREIGN_MARK, input.span(), message);
        input.parse::<Token![:]>().is_ok()
    }

    /// `my-db`, which is read as `my_db`.
    pub(super) fn undashed(&mut self, input: ParseStream, first: Ident, is_service: bool) -> Ident {
        let Some((rest, end)) = dashes(input) else {
            return first;
        };
        let dashed = format!("{}{rest}", first.unraw());
        let spelt = dashed.replace(|c: char| !c.is_alphanumeric(), "_");
        let advice = if is_service {
            format!("`{spelt}`, whose alias may have it: `bind {spelt} as \"{}\";`", spelt.replace('_', "-"))
        } else {
            format!("`{spelt}`")
        };
        let message = help(format!("there is no `-` in a name: `{dashed}`"), advice);
        self.errors.between(&DASHED_NAME, first.span(), end, message);
        let read = syn::parse_str::<Ident>(&spelt);
        read.map_or(first.clone(), |name| Ident::new(&name.to_string(), first.span()))
    }

    /// The name of another item, or a value for it.
    pub(super) fn reference(&mut self, input: ParseStream, is_service: bool) -> Operand {
        match self.operand(input) {
            Operand::Name(name) => Operand::Name(self.undashed(input, name, is_service)),
            value @ Operand::Value(_) => value,
        }
    }

    /// `80:8080`, the machine's port and the service's: gives them the other way round.
    pub(super) fn mapping(&mut self, input: ParseStream, first: Operand) -> (Operand, Option<Operand>) {
        let (Some(host), true) = (first.number().cloned(), is_colon(input) && input.peek2(LitInt)) else {
            return (first, None);
        };
        let _ = input.parse::<Token![:]>();
        let Ok(port) = input.parse::<LitInt>() else {
            return (first, None);
        };
        let advice = format!(
            "`expose {port} on host {host};`\nnote: clients that bind the service need `expose {port};` alone"
        );
        let message = help("a port of the machine stands behind `on host`", advice);
        self.errors.between(&PORT_FORM, host.span(), port.span(), message);
        let lit = Expr::Lit(ExprLit { attrs: Vec::new(), lit: Lit::Int(port) });
        (Operand::Value(Value::Expr(Box::new(lit))), Some(first))
    }

    /// `exec ["make"] timeout "10s";`: options that stand behind a command without braces.
    pub(super) fn options_outside(&mut self, input: ParseStream, command: &str) {
        let reported = self.errors.len();
        let (mut first, mut options) = (None, Vec::new());
        while let Some(word) = option(input) {
            let _ = self.colon_or_equals(input, &word, option_form(&word.to_string()));
            let (start, before) = (input.fork(), self.errors.len());
            let _ = self.option(&word, input);
            let value = between(&start, input);
            options.push(match (self.errors.len() == before, value.is_empty()) {
                (true, true) => format!("{word};"),
                (true, false) => format!("{word} {value};"),
                (false, _) => option_form(&word.to_string()).to_owned(),
            });
            first.get_or_insert(word);
        }
        if let Some(first) = first {
            self.errors.truncate(reported);
            let message = format!("`{first}` is an option, and options stand in braces behind a command");
            let advice = format!("`{command} ... {{ {} }}`", options.join(" "));
            self.errors.at(&OPTION_OUTSIDE, first.span(), help(message, advice));
        }
    }
}

/// The word of an option, behind a comma or not.
fn option(input: ParseStream) -> Option<Ident> {
    let ahead = input.fork();
    let _ = ahead.parse::<Token![,]>();
    let word = ahead.call(Ident::parse_any).ok()?;
    if !OPTION.words.iter().any(|option| word == option) {
        return None;
    }
    input.advance_to(&ahead);
    Some(word)
}
