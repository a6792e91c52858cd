//! Lists with Rust's own control flow in them. The same code serves items and statements.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::buffer::Cursor;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{Lit, LitInt, Pat, Stmt, Token, token};

use super::foreign::starts_control;
use super::recover::skip_to_semicolon;
use super::{Leaf, Parser, before, brace};
use crate::ast::{Arm, Block, Else, For, If, Let, Match, Mention, Node, NodeKind, Pattern, Value};
use crate::errors::help;
use crate::registry::{
    INVALID_RUST, JUMP, MISSING_BODY, MISSING_SEMICOLON, UNBOUNDED_LOOP, UNEXPECTED_TOKEN,
};

impl Parser {
    pub(super) fn nodes<T: Leaf>(&mut self, input: ParseStream) -> Vec<Node<T>> {
        let mut nodes = Vec::new();
        while !input.is_empty() {
            // A stray `;` means nothing, as in Rust.
            if input.peek(Token![;]) && input.parse::<Token![;]>().is_ok() {
                continue;
            }
            let start = input.fork();
            if let Some(kind) = self.node(input) {
                let mentions = if T::HAS_MENTIONS { mentions(&start, input) } else { Vec::new() };
                nodes.push(Node { mentions, kind });
            }
            if input.cursor() == start.cursor() {
                self.errors.at(&UNEXPECTED_TOKEN, input.span(), format!("expected {}", T::WHAT));
                let _ = input.parse::<TokenTree>();
                Self::skip_unknown(input);
            }
        }
        nodes
    }

    fn node<T: Leaf>(&mut self, input: ParseStream) -> Option<NodeKind<T>> {
        let word = input.cursor().ident().filter(|_| starts_control(input));
        let word = word.map(|(word, _)| word.to_string()).unwrap_or_default();
        match word.as_str() {
            "let" => Some(NodeKind::Let(self.let_(input))),
            "if" => self.if_(input).map(|node| NodeKind::If(Box::new(node))),
            "for" => self.for_(input).map(|node| NodeKind::For(Box::new(node))),
            "match" => self.match_(input).map(|node| NodeKind::Match(Box::new(node))),
            "while" | "loop" => {
                let word = input.call(Ident::parse_any).ok()?;
                self.errors.at(&UNBOUNDED_LOOP, word.span(), help("a pipeline must be finite", "use `for`"));
                Self::skip_unknown(input);
                None
            }
            "break" | "continue" => {
                let word = input.call(Ident::parse_any).ok()?;
                let message = format!("`{word}` is not allowed between {}s", noun::<T>());
                self.errors.at(&JUMP, word.span(), message);
                Self::skip_unknown(input);
                None
            }
            _ => match T::parse(self, input) {
                Some(leaf) => Some(NodeKind::Leaf(leaf)),
                None => self.unknown.take().map(NodeKind::Unknown),
            },
        }
    }

    /// Recovers after something that could not be parsed: skips to the next `;`, or past the next braces.
    pub(super) fn skip_unknown(input: ParseStream) {
        while !input.is_empty() && !super::recover::starts_statement(input) {
            if input.peek(Token![;]) {
                let _ = input.parse::<Token![;]>();
                return;
            }
            let ends = input.peek(token::Brace);
            let _ = input.parse::<TokenTree>();
            if ends {
                return;
            }
        }
    }

    fn let_(&mut self, input: ParseStream) -> Let {
        let fork = input.fork();
        match fork.parse::<Stmt>() {
            Ok(Stmt::Local(local)) => {
                input.advance_to(&fork);
                Let::Local(Box::new(local))
            }
            other => {
                let start = before(input);
                let partial = skip_to_semicolon(input);
                match other {
                    Err(error) if error.to_string().ends_with("expected `;`") => {
                        self.errors.at(&MISSING_SEMICOLON, before(input), "expected `;` after this");
                    }
                    Err(error) => self.report(&error, &partial, start),
                    Ok(_) => self.errors.on(&INVALID_RUST, partial, "expected a `let` statement"),
                }
                let _ = input.parse::<Token![;]>();
                Let::Partial
            }
        }
    }

    fn if_<T: Leaf>(&mut self, input: ParseStream) -> Option<If<T>> {
        let keyword = input.parse().ok()?;
        let condition = self.head(input);
        let then = self.block(input);
        let otherwise = match input.parse::<Token![else]>() {
            Ok(else_token) if input.peek(Token![if]) => {
                self.if_(input).map(|node| (else_token, Else::If(Box::new(node))))
            }
            Ok(else_token) => Some((else_token, Else::Block(self.block(input)))),
            Err(_) => None,
        };
        Some(If { keyword, condition, then, otherwise })
    }

    fn for_<T: Leaf>(&mut self, input: ParseStream) -> Option<For<T>> {
        let keyword = input.parse().ok()?;
        let pattern = self.pattern(input);
        let in_token: Option<Token![in]> = input.parse().ok();
        let iterator = if in_token.is_some() {
            self.head(input)
        } else {
            if matches!(pattern, Pattern::Pat(_)) {
                self.errors.at(&INVALID_RUST, before(input), "expected `in` after this");
            }
            Value::Partial(skip_to_brace(input))
        };
        let body = self.block(input);
        Some(For { keyword, pattern, in_token, iterator, body })
    }

    fn match_<T: Leaf>(&mut self, input: ParseStream) -> Option<Match<T>> {
        let keyword = input.parse().ok()?;
        let scrutinee = self.head(input);
        let Ok((_, content)) = brace(input) else {
            self.missing_block(input);
            return None;
        };
        let mut arms = Vec::new();
        while !content.is_empty() {
            let start = content.cursor();
            arms.push(self.arm(&content));
            if content.cursor() == start {
                let _ = content.parse::<TokenTree>();
            }
        }
        Some(Match { keyword, scrutinee, arms })
    }

    fn arm<T: Leaf>(&mut self, input: ParseStream) -> Arm<T> {
        let pattern = self.pattern(input);
        let guard = match input.parse::<Token![if]>() {
            Ok(if_token) => Some((if_token, self.head(input))),
            Err(_) => None,
        };
        if input.parse::<Token![=>]>().is_err() {
            if matches!(pattern, Pattern::Pat(_)) {
                self.errors.at(&INVALID_RUST, before(input), "expected `=>` after this");
            }
            skip_to_brace(input);
        }
        let body = self.block(input);
        let _ = input.parse::<Token![,]>();
        Arm { pattern, guard, body }
    }

    fn pattern(&mut self, input: ParseStream) -> Pattern {
        let fork = input.fork();
        match fork.call(Pat::parse_multi_with_leading_vert) {
            Ok(pat) => {
                input.advance_to(&fork);
                Pattern::Pat(pat)
            }
            Err(error) => {
                let start = before(input);
                let mut partial = TokenStream::new();
                while !input.is_empty()
                    && !input.peek(Token![in])
                    && !input.peek(Token![=>])
                    && !input.peek(token::Brace)
                {
                    partial.extend(input.parse::<TokenTree>());
                }
                self.report(&error, &partial, start);
                Pattern::Partial(partial)
            }
        }
    }

    /// A block; if there are no braces yet, an empty one, so that the tokens before it are not lost for the editor.
    pub(super) fn block<T: Leaf>(&mut self, input: ParseStream) -> Block<T> {
        let Ok((_, content)) = brace(input) else {
            self.missing_block(input);
            return Block { nodes: Vec::new() };
        };
        Block { nodes: self.nodes(&content) }
    }

    fn missing_block(&mut self, input: ParseStream) {
        self.errors.at(&MISSING_BODY, before(input), "expected `{ ... }` after this");
    }
}

fn noun<T: Leaf>() -> &'static str {
    T::WHAT.rsplit(' ').next().unwrap_or(T::WHAT)
}

fn skip_to_brace(input: ParseStream) -> TokenStream {
    let mut skipped = TokenStream::new();
    while !input.is_empty() && !input.peek(token::Brace) && !input.peek(Token![;]) {
        skipped.extend(input.parse::<TokenTree>());
    }
    skipped
}

/// The identifiers between two positions of a stream, at any depth.
fn mentions(start: ParseStream, end: ParseStream) -> Vec<Mention> {
    let mut found = Vec::new();
    mentions_in(start.cursor(), Some(end.cursor()), &mut found);
    found
}

fn mentions_in(mut cursor: Cursor, end: Option<Cursor>, found: &mut Vec<Mention>) {
    let (mut after_reference, mut after_dot) = (false, false);
    while !cursor.eof() && Some(cursor) != end {
        let (mut is_reference, mut is_dot) = (false, false);
        if let Some((ident, next)) = cursor.ident() {
            let after = next.punct().filter(|(punct, _)| punct.as_char() == '.').map(|(_, after)| after);
            let is_asked = after_reference || after.is_some();
            found.push(Mention { ident, is_asked, is_member: after_dot, port: after.and_then(asked_port) });
            cursor = next;
        } else if let Some((inner, _, _, next)) = cursor.any_group() {
            mentions_in(inner, None, found);
            cursor = next;
        } else if let Some((punct, next)) = cursor.punct() {
            (is_reference, is_dot) = (punct.as_char() == '&', punct.as_char() == '.');
            cursor = next;
        } else if let Some((_, next)) = cursor.token_tree() {
            cursor = next;
        } else {
            return;
        }
        (after_reference, after_dot) = (is_reference, is_dot);
    }
}

/// The literal of `endpoint_on(80)`.
fn asked_port(method: Cursor) -> Option<LitInt> {
    let (_, arguments) = method.ident().filter(|(name, _)| name == "endpoint_on")?;
    let (inside, _, _) = arguments.group(Delimiter::Parenthesis)?;
    let (literal, rest) = inside.literal()?;
    match Lit::new(literal) {
        Lit::Int(port) if rest.eof() => Some(port),
        _ => None,
    }
}
