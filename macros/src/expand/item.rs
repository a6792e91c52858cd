//! A pipeline in item position: a function with the user's signature, and the types of the handles beside it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Signature, Visibility};

use super::{Cx, Target, local};
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

    /// A macro of the function's own name and reach, which gives the function's signature to whoever asks: so `cli!(ci)`
    /// knows the parameters, and rustc points at their types. Its definition has a name that nothing else can have. Not
    /// for editors, which would offer it beside the function.
    pub(super) fn signature_macro(&self, header: &Header) -> Option<TokenStream> {
        let name = &header.signature.ident;
        if self.target == Target::Editor || MACROS.iter().any(|taken| name == taken) {
            return None;
        }
        let docs = header.attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let signature = Signature { inputs: header.flags.clone(), ..header.signature.clone() };
        let hidden = local("signature");
        // Only an exported macro reaches further than its crate, and that would be found at the crate's root.
        let visibility = match &header.visibility {
            Visibility::Public(_) => quote!(pub(crate)),
            other => other.to_token_stream(),
        };
        Some(quote! {
            #[allow(unused_macros)]
            macro_rules! #hidden {
                ([$($then:tt)*] $($given:tt)*) => { $($then)*! { $($given)* #(#docs)* #signature } };
            }
            #[doc(hidden)]
            #[allow(unused_imports)]
            #visibility use #hidden as #name;
        })
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

/// Macros that are likely to be called beside a pipeline, and that a macro of the same name would hide: a function of such a
/// name has no command line.
pub(crate) const MACROS: [&str; 19] = [
    "assert",
    "concat",
    "dbg",
    "env",
    "file",
    "format",
    "include",
    "line",
    "matches",
    "module_path",
    "panic",
    "pipeline",
    "print",
    "println",
    "todo",
    "try",
    "vec",
    "write",
    "writeln",
];
