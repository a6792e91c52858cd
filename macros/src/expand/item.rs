//! A pipeline in item position: a function with the user's signature, and the types of the handles beside it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;

use super::{Cx, Target};
use crate::ast::{Header, Outcome};

impl Cx<'_> {
    /// The function, with the contents of its braces.
    pub(super) fn function(&self, header: &Header, body: &TokenStream, is_rust: bool) -> TokenStream {
        let Header { attributes, visibility, signature, .. } = header;
        // Half-typed Rust uses its parameters somewhere, or will.
        let is_whole = is_rust && self.target == Target::Rustc;
        let lints = (!is_whole).then(|| quote!(#[allow(unused_variables, unused_mut)]));
        // The block ends where the user typed, so that rustc reports an unused function.
        let mut block = Group::new(Delimiter::Brace, body.clone());
        block.set_span(header.name.span());
        quote!(#(#attributes)* #lints #visibility #signature #block)
    }

    /// The struct as the signature returns it. `Ok` is spanned at the type, where rustc points if it does not fit.
    pub(super) fn wrapped(&self, value: TokenStream) -> TokenStream {
        let Some(header) = self.header else {
            return value;
        };
        let span = Span::mixed_site().located_at(header.name.span());
        match header.outcome {
            Outcome::Plain => value,
            Outcome::Ok => quote_spanned!(span=> ::core::result::Result::Ok(#value)),
            Outcome::Some => quote_spanned!(span=> ::core::option::Option::Some(#value)),
        }
    }

    /// The struct of the handles.
    pub(super) fn root(&self) -> Ident {
        self.header.map_or_else(
            || format_ident!("Pipeline", span = Span::mixed_site()),
            |header| header.name.clone(),
        )
    }

    /// Documentation, lints and visibility of the struct.
    pub(super) fn root_head(&self) -> (TokenStream, TokenStream, TokenStream) {
        let Some(header) = self.header else {
            return (TokenStream::new(), TokenStream::new(), TokenStream::new());
        };
        let docs =
            format!(" What `{}` gives: a handle for each of its items.", header.signature.ident.unraw());
        (quote!(#[doc = #docs]), quote!(#[allow(missing_docs)]), header.visibility.to_token_stream())
    }

    /// The visibility of a handle's own type. It starts the definition, so rustc takes it for the definition's place.
    pub(super) fn visibility(&self, at: Span) -> TokenStream {
        let Some(header) = self.header else {
            return quote_spanned!(at=> pub);
        };
        let tokens = header.visibility.to_token_stream().into_iter();
        let there = |mut token: TokenTree| {
            token.set_span(token.span().located_at(at));
            token
        };
        tokens.map(there).collect()
    }
}
