//! A parser that recovers from mistakes: one run reports everything that is wrong, and an editor gets a tree while the
//! user still types. It resynchronises at `;` and `{ }`.

mod control;
mod foreign;
mod header;
mod item;
mod options;
mod recover;
mod statement;

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::{ParseBuffer, ParseStream, Parser as _};
use syn::{Result, Token, braced, token};

use crate::ast::{Form, Pipeline, Slot};
use crate::errors::Errors;

/// The state of the parser.
#[derive(Default)]
pub(crate) struct Parser {
    pub(crate) errors: Errors,
    next_id: usize,
    /// The slots of the statement that is being parsed.
    slots: Vec<Slot>,
    /// What has to follow the word that was read last.
    wanted: Option<Wanted>,
    /// The last word that starts nothing.
    unknown: Option<Ident>,
}

/// What should follow a word.
struct Wanted {
    what: &'static str,
    after: String,
    /// An example of the whole statement.
    form: &'static str,
}

/// An element of a list with control flow: an item or a statement.
trait Leaf: Sized {
    /// The noun in "expected …".
    const WHAT: &'static str;
    /// Whether the tree keeps the identifiers in it.
    const HAS_MENTIONS: bool;

    /// Consumes at least one token, or nothing and returns `None`.
    fn parse(parser: &mut Parser, input: ParseStream) -> Option<Self>;
}

/// Parses `$crate; items…`. This fails only if the façade is broken; the user's mistakes are in the parser's errors.
pub(crate) fn pipeline(input: TokenStream) -> Result<(Pipeline, Errors)> {
    let mut parser = Parser::default();
    let mut parsed = None;
    let parse = |input: ParseStream| {
        let mut krate = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![;]) {
            krate.extend([input.parse::<proc_macro2::TokenTree>()?]);
        }
        input.parse::<Token![;]>()?;
        let (form, nodes) = if header::starts_signature(input) {
            parser.function(input)
        } else {
            (Form::Expression, parser.nodes(input))
        };
        parsed = Some((krate, form, nodes));
        Ok(())
    };
    let outcome = parse.parse2(input);
    let (krate, form, nodes) = match (parsed, &outcome) {
        (Some(parsed), _) => parsed,
        (None, Err(error)) => return Err(error.clone()),
        (None, Ok(())) => return Err(syn::Error::new(Span::call_site(), "expected a pipeline")),
    };
    // syn noticed leftover tokens in a Rust expression that it had accepted.
    if let Err(error) = outcome {
        parser.report(&error, &TokenStream::new(), error.span());
    }
    let complete = parser.errors.is_empty();
    Ok((Pipeline { krate, form, nodes, complete }, parser.errors))
}

impl Parser {
    fn id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }
}

fn brace(input: ParseStream) -> Result<(token::Brace, ParseBuffer)> {
    let content;
    let brace = braced!(content in input);
    Ok((brace, content))
}

/// The span of the token before the cursor, where something is missing.
fn before(input: ParseStream) -> Span {
    input.cursor().prev_span()
}

/// The tokens between two positions of a stream.
fn between(start: ParseStream, end: ParseStream) -> TokenStream {
    let mut tokens = TokenStream::new();
    let mut cursor = start.cursor();
    while cursor != end.cursor() {
        let Some((token, next)) = cursor.token_tree() else {
            break;
        };
        tokens.extend([token]);
        cursor = next;
    }
    tokens
}

#[cfg(test)]
mod tests;
