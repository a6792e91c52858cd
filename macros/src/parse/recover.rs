//! Recovery of the parser: values that are not Rust, missing `;`, missing words.

use proc_macro2::{Delimiter, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use syn::buffer::Cursor;
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, ExprArray, ExprLit, ExprParen, Lit, Token, bracketed, parenthesized, token};

use super::{Parser, Wanted, before};
use crate::ast::{Operand, Slot, Value};
use crate::errors::{help, is_whole_call};
use crate::keywords::{self, Call, Grammar, Kind, Takes, Words};
use crate::registry::{
    INVALID_RUST, KEYWORD_NAME, MISSING_NAME, MISSING_SEMICOLON, MISSING_VALUE, MISSING_WORD, RESERVED_NAME,
    Rule, UNEXPECTED_TOKEN,
};

impl Parser {
    /// A Rust expression up to the `;`.
    pub(super) fn value(&mut self, input: ParseStream) -> Value {
        if input.is_empty() || input.peek(Token![;]) || starts_statement(input) || is_binding(input) {
            self.missing_value(input);
            return Value::Partial(TokenStream::new());
        }
        if let Some(literal) = lone_literal(input) {
            return Value::Expr(Box::new(literal));
        }
        if input.peek(token::Bracket) && input.peek2(Token![;]) {
            let fork = input.fork();
            if let Ok(list) = list(&fork) {
                input.advance_to(&fork);
                return Value::Expr(Box::new(list));
            }
        }
        let fork = input.fork();
        let parsed = fork.parse::<Expr>();
        let ends = parsed.is_ok() && (fork.is_empty() || fork.peek(Token![;]));
        if !ends && let Some(partial) = self.dangling(input) {
            return Value::Partial(partial);
        }
        match parsed {
            Ok(expr) => {
                input.advance_to(&fork);
                Value::Expr(Box::new(expr))
            }
            Err(error) => Value::Partial(self.not_rust(&error, input)),
        }
    }

    /// `version.` followed by the next statement: the name after the dot is not typed yet, and the next keyword must not
    /// be taken for it.
    fn dangling(&mut self, input: ParseStream) -> Option<TokenStream> {
        let mut cursor = input.cursor();
        let mut tokens = TokenStream::new();
        loop {
            let (token, next) = cursor.token_tree()?;
            let TokenTree::Punct(punct) = &token else {
                tokens.extend([token]);
                cursor = next;
                continue;
            };
            let character = punct.as_char();
            tokens.extend([token]);
            cursor = next;
            if character == ';' {
                return None;
            }
            if character == '.' && is_statement(cursor) {
                break;
            }
        }
        while input.cursor() != cursor && input.parse::<TokenTree>().is_ok() {}
        self.errors.at(&INVALID_RUST, before(input), "expected a name after this");
        Some(tokens)
    }

    /// The head of `if`, `for` or `match`, which ends where the braces start.
    pub(super) fn head(&mut self, input: ParseStream) -> Value {
        if input.peek(token::Brace) && !input.peek2(token::Brace) {
            self.errors.at(&MISSING_VALUE, before(input), "expected an expression after this");
            return Value::Partial(TokenStream::new());
        }
        let fork = input.fork();
        match fork.call(Expr::parse_without_eager_brace) {
            Ok(expr) => {
                input.advance_to(&fork);
                Value::Expr(Box::new(expr))
            }
            Err(error) => {
                let start = before(input);
                let mut partial = TokenStream::new();
                while !input.is_empty() && !input.peek(token::Brace) && !input.peek(Token![;]) {
                    partial.extend(input.parse::<TokenTree>());
                }
                self.report(&error, &partial, start);
                Value::Partial(partial)
            }
        }
    }

    /// A name, a literal or a parenthesised expression: the operand before a joining word.
    pub(super) fn operand(&mut self, input: ParseStream) -> Operand {
        if starts_statement(input) || input.peek(Token![if]) || input.peek(Token![match]) {
            self.missing_value(input);
            return Operand::Value(Value::Partial(TokenStream::new()));
        }
        if input.peek(Lit)
            && let Ok(lit) = input.parse::<Lit>()
        {
            return Operand::Value(Value::Expr(Box::new(Expr::Lit(ExprLit { attrs: Vec::new(), lit }))));
        }
        if input.peek(token::Paren) {
            return Operand::Value(self.parenthesised(input));
        }
        if input.peek(syn::Ident)
            && let Ok(name) = input.parse::<Ident>()
        {
            return Operand::Name(name);
        }
        if input.is_empty() || input.peek(Token![;]) || input.peek(Token![as]) {
            self.missing_value(input);
            return Operand::Value(Value::Partial(TokenStream::new()));
        }
        let message = "expected a name, a literal or a Rust expression in parentheses";
        self.errors.at(&UNEXPECTED_TOKEN, input.span(), message);
        Operand::Value(Value::Partial(skip_to_semicolon(input)))
    }

    /// An array literal, or an operand.
    pub(super) fn list_or_operand(&mut self, input: ParseStream) -> Operand {
        if !input.peek(token::Bracket) {
            return self.operand(input);
        }
        let fork = input.fork();
        let parsed = list(&fork);
        Operand::Value(self.group(input, &fork, parsed))
    }

    fn parenthesised(&mut self, input: ParseStream) -> Value {
        let fork = input.fork();
        let parens = || {
            let content;
            let paren_token = parenthesized!(content in fork);
            let expr = content.parse()?;
            if !content.is_empty() {
                return Err(content.error("expected `)`"));
            }
            Ok(Expr::Paren(ExprParen { attrs: Vec::new(), paren_token, expr }))
        };
        self.group(input, &fork, parens())
    }

    fn group(&mut self, input: ParseStream, fork: ParseStream, parsed: syn::Result<Expr>) -> Value {
        match parsed {
            Ok(expr) => {
                input.advance_to(fork);
                Value::Expr(Box::new(expr))
            }
            Err(error) => {
                let start = before(input);
                let partial = input.parse::<TokenTree>().map(TokenStream::from).unwrap_or_default();
                self.report(&error, &partial, start);
                Value::Partial(partial)
            }
        }
    }

    /// An operand that need not be followed by anything, so that any expression is allowed too: `expose base + 1;`.
    pub(super) fn operand_or_value(
        &mut self,
        input: ParseStream,
        follows: fn(ParseStream) -> bool,
    ) -> Operand {
        let fork = input.fork();
        let simple = Parser::default().operand(&fork);
        let is_partial = matches!(simple, Operand::Value(Value::Partial(_)));
        let ends = fork.is_empty() || fork.peek(Token![;]) || follows(&fork) || starts_statement(&fork);
        if !is_partial && ends {
            return self.operand(input);
        }
        let fork = input.fork();
        match fork.parse::<Expr>() {
            Ok(expr) if fork.peek(Token![;]) => {
                input.advance_to(&fork);
                Operand::Value(Value::Expr(Box::new(expr)))
            }
            _ => self.operand(input),
        }
    }

    /// A contextual keyword, if it is the next token.
    pub(super) fn word(input: ParseStream, word: &str) -> Option<Ident> {
        let fork = input.fork();
        let ident = fork.call(Ident::parse_any).ok().filter(|ident| ident == word)?;
        input.advance_to(&fork);
        Some(ident)
    }

    /// One of the words allowed here, if it is the next token.
    pub(super) fn slot(&mut self, input: ParseStream, words: &'static Words) -> Option<Ident> {
        let word = words.words.iter().find_map(|word| Self::word(input, word));
        if let Some(word) = &word {
            self.want_after(word);
        }
        self.slots.push(Slot { words, word: word.clone() });
        word
    }

    /// A slot for the next token, whatever it is; the token is not consumed.
    pub(super) fn slot_of(&mut self, input: ParseStream, words: &'static Words) {
        let word = input.fork().call(Ident::parse_any).ok();
        self.slots.push(Slot { words, word });
    }

    /// Requires something after a keyword, with an example of the whole.
    pub(super) fn want(&mut self, after: &str, form: &'static str) {
        self.wanted = Some(Wanted { what: keywords::wanted(after), after: after.to_owned(), form });
    }

    /// Requires something after the word that was just read. The example stays that of the statement.
    pub(super) fn want_after(&mut self, word: &Ident) {
        let after = word.to_string();
        if let Some(wanted) = &mut self.wanted {
            wanted.what = keywords::wanted(&after);
            wanted.after = after;
        }
    }

    /// A word that is not allowed here: the editor completes it.
    pub(super) fn stray(&mut self, input: ParseStream) {
        if let Some(slot) = self.slots.last_mut().filter(|slot| slot.word.is_none())
            && !starts_statement(input)
        {
            slot.word = input.fork().call(Ident::parse_any).ok();
        }
    }

    /// A mandatory joining word. `form` is an example of the whole statement.
    pub(super) fn joining(&mut self, input: ParseStream, found: bool, word: &str, form: &str) -> bool {
        if found {
            return true;
        }
        if input.is_empty() || input.peek(Token![;]) || starts_another(input) {
            self.errors.at(
                &MISSING_WORD,
                before(input),
                help(format!("expected `{word}` after this"), format!("`{form}`")),
            );
        } else {
            self.stray(input);
            self.unexpected(input, &format!("`{word}`"));
        }
        false
    }

    fn unexpected(&mut self, input: ParseStream, wanted: &str) {
        let parentheses = "a Rust expression before a joining word stands in parentheses: `(...)`";
        let next = next_token(input).unwrap_or_default();
        let message = format!("expected {wanted}, found `{next}`");
        let is_operator = input.peek(Token![.])
            || input.peek(Token![::])
            || input.peek(token::Paren)
            || input.peek(Token![?]);
        let message = if is_operator { help(message, parentheses) } else { message };
        self.errors.at(&UNEXPECTED_TOKEN, input.span(), message);
    }

    /// The `;` at the end of a statement. If it is missing, the next statement starts at the next keyword, or after the
    /// next `;`.
    pub(super) fn semicolon(
        &mut self,
        input: ParseStream,
        reported: bool,
        after_operand: &[&str],
    ) -> Option<Token![;]> {
        if let Ok(semi) = input.parse() {
            return Some(semi);
        }
        if !reported {
            self.stray(input);
            if input.is_empty() || starts_another(input) || after_operand.is_empty() {
                self.errors.at(&MISSING_SEMICOLON, before(input), "expected `;` after this");
            } else {
                let words: Vec<_> = after_operand.iter().map(|word| format!("`{word}`")).collect();
                self.unexpected(input, &format!("{} or `;`", words.join(", ")));
            }
        }
        if starts_another(input) {
            return None;
        }
        skip_to_semicolon(input);
        input.parse().ok()
    }

    /// The name of an item, a port or an export.
    pub(super) fn name(&mut self, input: ParseStream, after: &Ident) -> Option<Ident> {
        let is_plain = input.peek(syn::Ident);
        let word = if input.peek(Token![_]) { None } else { input.fork().call(Ident::parse_any).ok() };
        let Some(name) = word.filter(|_| !starts_statement(input)) else {
            self.errors.at(&MISSING_NAME, after.span(), format!("expected a name after `{after}`"));
            return None;
        };
        let _ = input.call(Ident::parse_any);
        if !is_plain {
            let cannot_be_raw = ["self", "Self", "super", "crate"].iter().any(|word| name == word);
            let advice = if cannot_be_raw {
                "choose another name".to_owned()
            } else {
                format!("write `r#{name}` or choose another name")
            };
            self.errors.at(&KEYWORD_NAME, name.span(), help(format!("`{name}` is a Rust keyword"), advice));
            return None;
        }
        if name.unraw().to_string().starts_with("__") {
            self.errors.at(&RESERVED_NAME, name.span(), "names starting with `__` are reserved");
            return None;
        }
        Some(self.undashed(input, name, after == "service"))
    }

    pub(super) fn missing_value(&mut self, input: ParseStream) {
        let span = if input.peek(Token![;]) { input.span() } else { before(input) };
        let message = match &self.wanted {
            Some(Wanted { what, after, form }) => {
                help(format!("expected {what} after `{after}`"), format!("`{form}`"))
            }
            None => "expected an expression".to_owned(),
        };
        self.errors.at(&MISSING_VALUE, span, message);
    }

    /// Reports syn's error and returns the tokens up to the `;`.
    fn not_rust(&mut self, error: &syn::Error, input: ParseStream) -> TokenStream {
        let start = before(input);
        let partial = skip_to_semicolon(input);
        self.report(error, &partial, start);
        partial
    }

    /// syn's error has the right token, except at the very end of the input, where it has the whole call.
    pub(super) fn report(&mut self, error: &syn::Error, partial: &TokenStream, before: Span) {
        self.report_as(&INVALID_RUST, error, partial, before);
    }

    pub(super) fn report_as(
        &mut self,
        rule: &'static Rule,
        error: &syn::Error,
        partial: &TokenStream,
        before: Span,
    ) {
        let text = error.to_string();
        let wanted = text.strip_prefix("unexpected end of input, ");
        if wanted.is_none() && !is_whole_call(error.span()) {
            self.errors.at(rule, error.span(), text);
            return;
        }
        let last = partial.clone().into_iter().last().map_or(before, |token| token.span());
        self.errors.at(rule, last, format!("{} after this", wanted.unwrap_or(&text)));
    }
}

/// `[a, b]`.
fn list(input: ParseStream) -> syn::Result<Expr> {
    let content;
    let bracket_token = bracketed!(content in input);
    let element = |input: ParseStream| lone_literal(input).map_or_else(|| Expr::parse(input), Ok);
    let elems = content.parse_terminated(element, Token![,])?;
    Ok(Expr::Array(ExprArray { attrs: Vec::new(), bracket_token, elems }))
}

/// A literal directly before the `;` or `,`: most values are, and syn is slow to find that out.
fn lone_literal(input: ParseStream) -> Option<Expr> {
    let (literal, rest) = input.cursor().literal()?;
    let ends = |(punct, _): (Punct, Cursor)| [';', ','].contains(&punct.as_char());
    if !rest.eof() && !rest.punct().is_some_and(ends) {
        return None;
    }
    let lit = Lit::new(literal);
    input.parse::<TokenTree>().ok()?;
    Some(Expr::Lit(ExprLit { attrs: Vec::new(), lit }))
}

/// Whether the next tokens can only start a statement or an item, so that the previous one has ended. Two words in a row,
/// or a word and a literal, are not Rust, so the first is ours.
pub(super) fn starts_statement(input: ParseStream) -> bool {
    is_statement(input.cursor())
}

fn is_statement(cursor: Cursor) -> bool {
    let Some((word, rest)) = cursor.ident() else {
        return false;
    };
    let word = word.to_string();
    if ["let", "for", "while", "loop"].contains(&word.as_str()) {
        return true;
    }
    if keywords::statement(&word).is_none() && Kind::of(&word).is_none() {
        return false;
    }
    // `mount dir at …` refers to something called `dir`.
    let joins =
        |next: &Ident| ["as", "at", "on", "times", "within", "unprobed"].iter().any(|word| next == word);
    rest.literal().is_some() || rest.ident().is_some_and(|(next, _)| !joins(&next))
}

/// As [`starts_statement`], after a complete value: then it also recognises Rust's keywords, keywords that stand alone,
/// and those whose statement would otherwise continue the value as an index or an assignment to a call.
pub(super) fn starts_another(input: ParseStream) -> bool {
    let ends = |rest: Cursor| rest.eof() || is_punct(rest, ';');
    let is_list = |rest: Cursor| rest.group(Delimiter::Bracket).is_some();
    let is_keyed =
        |rest: Cursor| rest.group(Delimiter::Parenthesis).is_some_and(|(_, _, rest)| is_punct(rest, '='));
    let follows = |word: &str, rest: Cursor| match keywords::statement(word).map(|known| &known.grammar) {
        Some(Grammar::Call(Call { takes: Takes::Nothing, .. })) => ends(rest),
        Some(Grammar::Call(Call { takes: Takes::Command, .. })) => is_list(rest),
        Some(Grammar::Call(Call { takes: Takes::Keyed { .. }, .. })) => is_keyed(rest),
        Some(Grammar::Own) if word == "exec" => is_list(rest),
        Some(Grammar::Own) if word == "file" => is_keyed(rest),
        Some(_) => false,
        None => ["if", "match"].contains(&word),
    };
    // `image: …`, as in YAML.
    let is_marked = |word: &str, rest: Cursor| {
        let is_ours = keywords::statement(word).is_some() || Kind::of(word).is_some();
        is_ours && is_punct(rest, ':')
    };
    starts_statement(input)
        || input.cursor().ident().is_some_and(|(word, rest)| {
            let word = word.to_string();
            follows(&word, rest) || is_marked(&word, rest)
        })
}

fn is_punct(cursor: Cursor, wanted: char) -> bool {
    cursor.punct().is_some_and(|(next, _)| next.as_char() == wanted && next.spacing() == Spacing::Alone)
}

/// `bind as "…"`, with the name still to be typed, in the place of a value: nothing can be cast to a literal.
fn is_binding(input: ParseStream) -> bool {
    let binding =
        input.cursor().ident().filter(|(word, _)| word == "bind").and_then(|(_, rest)| rest.ident());
    binding.is_some_and(|(word, rest)| word == "as" && rest.literal().is_some())
}

/// Everything up to the next `;`, or up to the start of a statement.
pub(super) fn skip_to_semicolon(input: ParseStream) -> TokenStream {
    let mut skipped = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![;]) && (skipped.is_empty() || !starts_statement(input)) {
        skipped.extend(input.parse::<TokenTree>());
    }
    skipped
}

fn next_token(input: ParseStream) -> Option<String> {
    input.cursor().token_tree().map(|(token, _)| match token {
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Parenthesis => "(".to_owned(),
            Delimiter::Bracket => "[".to_owned(),
            _ => "{".to_owned(),
        },
        other => other.to_string(),
    })
}
