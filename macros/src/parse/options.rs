//! Options in braces after a command: `exec [ … ] { stdin "x"; expect any; }`.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, ExprPath, Token, token};

use super::recover::skip_to_semicolon;
use super::{Parser, before, brace};
use crate::ast::{ExecOption, ExecOptions, Expectation, Operand, OptionKind, Slot, Value};
use crate::errors::help;
use crate::keywords::{EXPECTATION, OPTION, TO};
use crate::registry::{UNKNOWN_EXPECTATION, UNKNOWN_OPTION};
use crate::rules::did_you_mean;

impl Parser {
    /// A command, and its options if braces follow. Before braces only an operand or a list is allowed, as `args { … }`
    /// would be a Rust struct.
    pub(super) fn command(&mut self, input: ParseStream) -> (Value, Option<ExecOptions>) {
        if input.peek(token::Bracket) && !input.peek2(token::Brace) {
            return (self.value(input), None);
        }
        let fork = input.fork();
        let simple = Parser::default().list_or_operand(&fork);
        if matches!(simple, Operand::Value(Value::Partial(_))) || !fork.peek(token::Brace) {
            return (self.value(input), None);
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
            let reported = self.errors.len();
            let kind = self.option(&keyword, &content);
            self.semicolon(&content, self.errors.len() > reported, &[]);
            list.push(ExecOption { keyword, kind });
        }
        self.slots.push(Slot { words: &OPTION, word: None });
        Some(ExecOptions { brace, list })
    }

    fn option(&mut self, keyword: &Ident, input: ParseStream) -> OptionKind {
        let word = keyword.to_string();
        self.want(&word, form(&word));
        match word.as_str() {
            "stdin" => OptionKind::Stdin(self.value(input)),
            "timeout" => OptionKind::Timeout(self.value(input)),
            "expect" => self.expectation(input).map_or(OptionKind::Unknown, OptionKind::Expect),
            "stdout" | "stderr" => {
                let found = self.slot(input, &TO).is_some();
                match self.joining(input, found, "to", form(&word)) {
                    true if word == "stdout" => OptionKind::Stdout(self.value(input)),
                    true => OptionKind::Stderr(self.value(input)),
                    false => OptionKind::Unknown,
                }
            }
            "uncached" => OptionKind::Uncached,
            _ => {
                let advice = match did_you_mean(&word, OPTION.words.iter().copied()) {
                    Some(near) => format!("an option with a similar name exists: `{near}`"),
                    None => all_options(),
                };
                let message = format!("cannot find option `{word}` of a command");
                self.errors.at(&UNKNOWN_OPTION, keyword.span(), help(message, advice));
                skip_to_semicolon(input);
                OptionKind::Unknown
            }
        }
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

/// An example of an option.
fn form(option: &str) -> &'static str {
    match option {
        "stdin" => "stdin \"text\";",
        "timeout" => "timeout \"30s\";",
        "stdout" => "stdout to \"/path\";",
        "stderr" => "stderr to \"/path\";",
        _ => "expect any;",
    }
}
