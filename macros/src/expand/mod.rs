//! The expansion: the builder calls that the user could have written by hand.
//!
//! User code and generated types live in two blocks, so that no generated name can shadow one of the user's:
//!
//! ```text
//! {
//!     let __out = { /* handles, then bodies, in straight-line code */ (redis, ping) };
//!     { struct Pipeline { pub redis: …, pub ping: … } impl Pipeline { … } Pipeline { redis: __out.0, ping: __out.1 } }
//! }
//! ```
//!
//! In item position the first block is the body of the user's function, and the types stand beside it.
//!
//! User expressions never move into a closure: `?`, `.await`, `return` and borrows act on the surrounding function.

mod body;
mod call;
mod editor;
mod extras;
mod handles;
mod item;
mod scope;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, format_ident, quote};

use extras::Extras;

use crate::ast::{Form, Header, Pipeline};
use crate::errors::Errors;
use crate::keywords::Kind;
use crate::names::{Declaration, Names};
use crate::registry::{HIDDEN_BY_LET, PARAMETER_NAME_TAKEN};

/// The target of the expansion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Rustc,
    /// rust-analyzer, which also reads half-typed code.
    Editor,
}

/// The inputs of the expansion.
pub(crate) struct Cx<'a> {
    krate: Tokens,
    /// The types of the kinds of items, as `$crate::Service`.
    kinds: [Tokens; 6],
    /// The signature, in item position.
    header: Option<&'a Header>,
    names: &'a Names<'a>,
    errors: &'a Errors,
    target: Target,
    /// By declaration index.
    extras: Vec<Extras<'a>>,
}

/// The expansion of a pipeline, whatever mistakes it has.
pub(crate) fn expand(pipeline: &Pipeline, names: &Names, errors: &Errors, target: Target) -> TokenStream {
    let extras = names.declarations.iter().map(|declaration| extras::extras(names, errors, declaration));
    let extras = extras.collect();
    let krate = Tokens::of(pipeline.krate.clone());
    let kinds = Kind::ALL.map(|(_, kind)| Tokens::of(scope::type_of(&krate, kind, Span::mixed_site())));
    let header = pipeline.form.header();
    let cx = Cx { krate, kinds, header, names, errors, target, extras };
    match target {
        Target::Rustc => cx.rustc(pipeline),
        Target::Editor => cx.editor(pipeline),
    }
}

impl Cx<'_> {
    fn rustc(&self, pipeline: &Pipeline) -> TokenStream {
        let is_rust = self.is_rust(pipeline);
        match &pipeline.form {
            Form::Expression if is_rust => self.expression(pipeline),
            Form::Expression => self.absent_expression(),
            Form::Item(header) => {
                let (types, errors) = (self.types(), self.errors.to_tokens());
                let body = if is_rust {
                    let (code, value) = self.code(pipeline);
                    quote!(#code #value)
                } else {
                    quote!(::core::unreachable!())
                };
                let (function, signature) =
                    (self.function(header, &body, is_rust), self.signature_macro(header));
                quote!(#function #types #signature #errors)
            }
            // Without a name for the function, nothing could be called.
            Form::Broken => self.errors.to_tokens(),
        }
    }

    /// Whether the user's code is passed on to rustc. Half-typed Rust must not be: then only the handles are generated,
    /// for the code after the macro. Neither must a variable in the place of a handle: it has another type, which rustc
    /// would report everywhere.
    fn is_rust(&self, pipeline: &Pipeline) -> bool {
        pipeline.complete && ![&HIDDEN_BY_LET, &PARAMETER_NAME_TAKEN].iter().any(|rule| self.errors.has(rule))
    }

    fn absent_expression(&self) -> TokenStream {
        let (types, errors) = (self.types(), self.errors.to_tokens());
        // Behind a function, because rustc would report everything after a bare `unreachable!()` as unreachable.
        quote! {{
            #types
            fn absent() -> Pipeline { ::core::unreachable!() }
            #errors
            absent()
        }}
    }

    fn expression(&self, pipeline: &Pipeline) -> TokenStream {
        let types = self.types();
        let (code, value) = self.code(pipeline);
        let expanded = quote!(#code { #types #value });
        if self.errors.is_empty() {
            return quote!({ #expanded });
        }
        // rustc still checks the types, so that its errors and ours appear in one run.
        let (errors, value) = (self.errors.to_tokens(), local("value"));
        quote! {{
            let #value = { #expanded };
            #errors
            #value
        }}
    }

    /// The user's code, and the value that it results in.
    fn code(&self, pipeline: &Pipeline) -> (TokenStream, TokenStream) {
        let out = local("out");
        let code = self.scope(&pipeline.nodes, true);
        let accumulators = self.accumulators();
        let outputs = self.names.declarations.iter().map(|declaration| self.output(declaration));
        let warnings = self.errors.warnings();
        let code = quote! {
            #warnings
            let #out = { #accumulators #code (#(#outputs,)*) };
        };
        (code, self.wrapped(self.value(&out)))
    }

    /// The result of the user code for an item.
    fn output(&self, declaration: &Declaration) -> TokenStream {
        if self.target == Target::Editor {
            return self.absent_output(declaration);
        }
        let Some(ident) = accumulator(declaration) else {
            return self.handle(declaration);
        };
        quote!(#ident)
    }

    fn accumulators(&self) -> TokenStream {
        let collected = self.names.declarations.iter().filter_map(|declaration| {
            let ident = accumulator(declaration)?;
            Some(if declaration.place.is_repeated() {
                quote!(let mut #ident = ::std::vec::Vec::new();)
            } else {
                quote!(let mut #ident = ::core::option::Option::None;)
            })
        });
        quote!(#(#collected)*)
    }

    /// The same type without a value, for a target of types only: so nothing has to be kept while the user's code runs.
    fn absent_output(&self, declaration: &Declaration) -> TokenStream {
        let ty = self.kind(declaration.item.kind).to_token_stream();
        let exports = self.extras_of(declaration).exports.iter().filter(|export| export.slot.is_some());
        let paths: Vec<TokenStream> = exports
            .map(|export| {
                let text = quote!(::std::string::String);
                if export.is_certain { text } else { quote!(::core::option::Option<#text>) }
            })
            .collect();
        let one = if paths.is_empty() { ty } else { quote!((#ty, #(#paths),*)) };
        self.absent(&match declaration.place.word() {
            None => one,
            Some(_) if declaration.place.is_repeated() => quote!(::std::vec::Vec<#one>),
            Some(_) => quote!(::core::option::Option<#one>),
        })
    }

    /// A value of which only an editor asks the type.
    fn absent(&self, ty: &TokenStream) -> TokenStream {
        let krate = &self.krate;
        quote!(#krate::__private::absent::<#ty>())
    }

    /// The handle, with the paths of its exports if they are known only at run time.
    fn handle(&self, declaration: &Declaration) -> TokenStream {
        let ident = declaration.ident;
        let paths = self.extras_of(declaration).stored();
        if paths.is_empty() {
            return quote!(#ident);
        }
        quote!((#ident, #(#paths),*))
    }

    /// The path of the runtime crate, spanned at a place of the user's but with its original hygiene: otherwise `$crate`
    /// would not resolve.
    fn krate_at(&self, span: Span) -> Tokens {
        let at = |token: &TokenTree| {
            let mut token = token.clone();
            token.set_span(token.span().located_at(span));
            token
        };
        Tokens(self.krate.0.iter().map(at).collect())
    }
}

/// Tokens that are needed often: copying or joining token streams costs more than everything else, as each time the
/// compiler is asked to.
#[derive(Default)]
struct Tokens(Vec<TokenTree>);

impl Tokens {
    fn of(stream: TokenStream) -> Self {
        Self(stream.into_iter().collect())
    }
}

impl ToTokens for Tokens {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.append_all(&self.0);
    }
}

/// The variable that collects an item in control flow; it is declared outside all of it.
fn accumulator(declaration: &Declaration) -> Option<Ident> {
    declaration.place.word().map(|_| local(&format!("all_{}", declaration.name)))
}

/// A variable that is invisible to users.
fn local(name: &str) -> Ident {
    format_ident!("__{}", name, span = Span::mixed_site())
}

#[cfg(test)]
mod tests;
