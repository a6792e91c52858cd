//! Options in braces after a command: `exec [ … ] { stdin "x"; expect any; }`.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, ExprPath, Token, token};

use super::recover::skip_to_semicolon;
use super::{Parser, before, brace, foreign};
use crate::ast::{ExecOption, ExecOptions, Expectation, Foreign, Operand, OptionKind, Slot, Value};
use crate::counterparts::{self, Site};
use crate::errors::help;
use crate::keywords::{EXPECTATION, OPTION, TO, option_form};
use crate::registry::{FOREIGN_WORD, UNKNOWN_EXPECTATION, UNKNOWN_OPTION};
use crate::rules::did_you_mean;

impl Parser {
    /// A command, and its options if braces follow. Before braces only an operand or a list is allowed, as `args { … }`
    /// would be a Rust struct.
    pub(super) fn command(&mut self, input: ParseStream, word: &str) -> (Value, Option<ExecOptions>) {
        let fork = input.fork();
        let has_options = (!input.peek(token::Bracket) || input.peek2(token::Brace)) && {
            let simple = Parser::default().list_or_operand(&fork);
            !matches!(simple, Operand::Value(Value::Partial(_))) && fork.peek(token::Brace)
        };
        if !has_options {
            let command = self.value(input);
            self.options_outside(input, word);
            return (command, None);
        }
        let command = match self.list_or_operand(input) {
            Operand::Value(value) => value,
            Operand::Name(name) => {
                let path = ExprPath { attrs: Vec::new(), qself: None, path: name.into() };
                Value::Expr(Box::new(Expr::Path(path)))
            }
        };
        (command, self.options(input))
    }

    fn options(&mut self, input: ParseStream) -> Option<ExecOptions> {
        let (brace, content) = brace(input).ok()?;
        let mut list = Vec::new();
        while !content.is_empty() {
            self.slot_of(&content, &OPTION);
            let Ok(keyword) = content.call(Ident::parse_any) else {
                self.errors.at(&UNKNOWN_OPTION, content.span(), help("expected an option", all_options()));
                skip_to_semicolon(&content);
                let _ = content.parse::<Token![;]>();
                continue;
            };
            let is_known = OPTION.words.iter().any(|option| keyword == option);
            let form = option_form(&keyword.to_string());
            let is_marked = is_known && self.colon_or_equals(&content, &keyword, form);
            let reported = self.errors.len();
            let kind = self.option(&keyword, &content);
            self.semicolon(&content, self.errors.len() > reported, &[]);
            if is_marked {
                self.errors.truncate(reported);
            }
            list.push(ExecOption { keyword, kind });
        }
        self.slots.push(Slot { words: &OPTION, word: None });
        Some(ExecOptions { brace, list })
    }

    pub(super) fn option(&mut self, keyword: &Ident, input: ParseStream) -> OptionKind {
        let word = keyword.to_string();
        self.want(&word, option_form(&word));
        match word.as_str() {
            // `timeout-minutes`.
            _ if foreign::is_dash(input) => {
                self.unknown_option(foreign::word(input, keyword));
                skip_to_semicolon(input);
                OptionKind::Unknown
            }
            "stdin" => OptionKind::Stdin(self.value(input)),
            "timeout" => OptionKind::Timeout(self.value(input)),
            "expect" => self.expectation(input).map_or(OptionKind::Unknown, OptionKind::Expect),
            "stdout" | "stderr" => {
                let found = self.slot(input, &TO).is_some();
                match self.joining(input, found, "to", option_form(&word)) {
                    true if word == "stdout" => OptionKind::Stdout(self.value(input)),
                    true => OptionKind::Stderr(self.value(input)),
                    false => OptionKind::Unknown,
                }
            }
            "fresh" => OptionKind::Fresh(self.value(input)),
            "uncached" => OptionKind::Uncached,
            _ => {
                self.unknown_option(foreign::word(input, keyword));
                skip_to_semicolon(input);
                OptionKind::Unknown
            }
        }
    }

    fn unknown_option(&mut self, Foreign { text, start, end }: Foreign) {
        let message = format!("cannot find option `{text}` of a command");
        let (rule, advice) = match counterparts::advice(&text, Site::Options) {
            Some(advice) => (&FOREIGN_WORD, advice),
            None => match did_you_mean(&text, OPTION.words.iter().copied()) {
                Some(near) => (&UNKNOWN_OPTION, format!("an option with a similar name exists: `{near}`")),
                None => (&UNKNOWN_OPTION, all_options()),
            },
        };
        self.errors.between(rule, start, end, help(message, advice));
    }

    fn expectation(&mut self, input: ParseStream) -> Option<Expectation> {
        self.slot_of(input, &EXPECTATION);
        let all = "a command is expected to end in `success`, `failure` or `any`";
        let Ok(word) = input.call(Ident::parse_any) else {
            self.errors.at(&UNKNOWN_EXPECTATION, before(input), help("expected a word after this", all));
            skip_to_semicolon(input);
            return None;
        };
        let text = word.to_string();
        match text.as_str() {
            "success" => Some(Expectation::Success),
            "failure" => Some(Expectation::Failure),
            "any" => Some(Expectation::Any),
            _ => {
                let advice = did_you_mean(&text, EXPECTATION.words.iter().copied())
                    .map_or_else(|| all.to_owned(), |near| format!("did you mean `{near}`?"));
                let message = format!("cannot expect `{text}` of a command");
                self.errors.at(&UNKNOWN_EXPECTATION, word.span(), help(message, advice));
                skip_to_semicolon(input);
                None
            }
        }
    }
}

fn all_options() -> String {
    format!("the options of a command are `{}`", OPTION.words.join("`, `"))
}
