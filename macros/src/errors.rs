//! Errors in the input, collected so that one compilation shows all of them.

use std::collections::BTreeSet;
use std::fmt::Display;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

use crate::registry::Rule;

pub(crate) struct Diagnostic {
    pub(crate) rule: &'static Rule,
    pub(crate) start: Span,
    pub(crate) end: Span,
    pub(crate) message: String,
}

/// Whether messages can refer to other places by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lines {
    #[default]
    Known,
    /// rust-analyzer reports line 1 for everything.
    Unknown,
}

#[derive(Default)]
pub(crate) struct Errors {
    list: Vec<Diagnostic>,
    pub(crate) lines: Lines,
    warnings: Vec<Diagnostic>,
    /// Statements that must be left out of the expansion, because rustc would report the same mistake again.
    left_out: BTreeSet<usize>,
}

impl Errors {
    pub(crate) fn at(&mut self, rule: &'static Rule, span: Span, message: impl Display) {
        self.list.push(Diagnostic { rule, start: span, end: span, message: message.to_string() });
    }

    /// Reports an error that underlines all the tokens.
    pub(crate) fn on(&mut self, rule: &'static Rule, tokens: impl ToTokens, message: impl Display) {
        let mut tokens = tokens.into_token_stream().into_iter();
        let start = tokens.next().map_or_else(Span::call_site, |token| token.span());
        let end = tokens.last().map_or(start, |token| token.span());
        self.list.push(Diagnostic { rule, start, end, message: message.to_string() });
    }

    /// Reports an error that underlines everything between the two.
    pub(crate) fn between(&mut self, rule: &'static Rule, start: Span, end: Span, message: impl Display) {
        self.list.push(Diagnostic { rule, start, end, message: message.to_string() });
    }

    /// Forgets what was reported after the first ones: it follows from one of them.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    pub(crate) fn warn(&mut self, rule: &'static Rule, span: Span, message: impl Display) {
        self.warnings.push(Diagnostic { rule, start: span, end: span, message: message.to_string() });
    }

    /// Warnings: each is a use of a deprecated constant, spanned at the user's token, where rustc then points. Mistakes
    /// come first: while there are any, rustc shows only those.
    pub(crate) fn warnings(&self) -> TokenStream {
        if !self.is_empty() {
            return TokenStream::new();
        }
        let warning = |diagnostic: &Diagnostic| {
            let name = Ident::new(&diagnostic.rule.name.replace('-', "_"), diagnostic.start);
            let message = &diagnostic.message;
            quote_spanned! {diagnostic.start=>
                const _: () = {
                    #[deprecated(note = #message)]
                    #[allow(non_upper_case_globals)]
                    const #name: () = ();
                    #name
                };
            }
        };
        self.warnings.iter().map(warning).collect()
    }

    #[cfg(test)]
    pub(crate) fn warned(&self) -> Vec<&'static str> {
        self.warnings.iter().map(|diagnostic| diagnostic.rule.name).collect()
    }

    /// The line of another place, if known.
    pub(crate) fn line(&self, span: Span) -> Option<usize> {
        (self.lines == Lines::Known).then(|| line(span))
    }

    /// The end of "`a` binds `b` on line 4"; empty if the line is not known.
    pub(crate) fn on_line(&self, span: Span) -> String {
        self.line(span).map(|line| format!(" on line {line}")).unwrap_or_default()
    }

    /// A `help:` line with the place of the first of two occurrences, inside what contains both.
    pub(crate) fn first(&self, at: Span, both_in: impl Display) -> String {
        match self.line(at) {
            Some(line) => format!("the first is on line {line}"),
            None => format!("the first is above it in {both_in}"),
        }
    }

    pub(crate) fn leave_out(&mut self, statement: usize) {
        self.left_out.insert(statement);
    }

    pub(crate) fn is_left_out(&self, statement: usize) -> bool {
        self.left_out.contains(&statement)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn has(&self, rule: &'static Rule) -> bool {
        self.list.iter().any(|diagnostic| std::ptr::eq(diagnostic.rule, rule))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorted by position in the source.
    pub(crate) fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|diagnostic| position(diagnostic.start));
        sorted
    }

    /// One `compile_error!` for each mistake.
    pub(crate) fn to_tokens(&self) -> TokenStream {
        self.sorted()
            .into_iter()
            .map(|diagnostic| {
                // syn underlines from the first token to the last, so a range needs only two on stable.
                let range = [Ident::new("start", diagnostic.start), Ident::new("end", diagnostic.end)];
                let mut tokens = TokenStream::new();
                tokens.extend(range.map(ToTokens::into_token_stream));
                syn::Error::new_spanned(tokens, &diagnostic.message).into_compile_error()
            })
            .collect()
    }
}

/// A message and, separated from it, what to do.
pub(crate) fn help(message: impl Display, help: impl Display) -> String {
    format!("{message}\n\nhelp: {help}")
}

/// Line and column. `proc_macro` has them on stable; proc-macro2 only with a feature that would cost every user.
pub(crate) fn position(span: Span) -> (usize, usize) {
    if proc_macro::is_available() {
        let start = span.unwrap().start();
        return (start.line(), start.column());
    }
    #[cfg(test)]
    return (span.start().line, span.start().column);
    #[cfg(not(test))]
    (0, 0)
}

/// Whether a span is that of the macro call, which syn reports for the end of the input. Spans can only be compared by
/// their debug output.
pub(crate) fn is_whole_call(span: Span) -> bool {
    format!("{span:?}") == format!("{:?}", Span::call_site())
}

pub(crate) fn line(span: Span) -> usize {
    position(span).0
}
