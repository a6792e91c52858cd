//! A parser that goes on after mistakes: everything that is wrong is reported in one run, and an editor gets a tree
//! while the user still types. `;` and `{ }` are where it finds its feet again.

mod control;
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

/// What parsing carries along.
#[derive(Default)]
pub(crate) struct Parser {
    pub(crate) errors: Errors,
    next_id: usize,
    /// Those of the statement that is being read.
    slots: Vec<Slot>,
    /// What the word that was read last has to be followed by.
    wanted: Option<Wanted>,
    /// The word that was read last and starts nothing.
    unknown: Option<Ident>,
}

/// What should stand behind a word.
struct Wanted {
    what: &'static str,
    after: String,
    /// An example of the whole statement.
    form: &'static str,
}

/// What stands in a list between control flow: an item or a statement.
trait Leaf: Sized {
    /// As in "expected …".
    const WHAT: &'static str;
    /// Whether the tree keeps what is mentioned in it.
    const HAS_MENTIONS: bool;

    /// Takes at least one token, or nothing and gives `None`.
    fn parse(parser: &mut Parser, input: ParseStream) -> Option<Self>;
}

/// Parses `$crate; items…`. Only a broken façade fails here; the user's mistakes are in the parser's errors.
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
    // syn noticed something left over inside of a Rust expression that it had accepted.
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

/// The token before the cursor: where something is missing.
fn before(input: ParseStream) -> Span {
    input.cursor().prev_span()
}

#[cfg(test)]
mod tests;
