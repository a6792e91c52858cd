//! The generated types: a struct with one field for each name, and a newtype for each item with methods of its own.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Index;
use syn::ext::IdentExt;

use super::extras::Extras;
use super::{Cx, Target, Tokens};
use crate::ast::{Definition, Place};
use crate::keywords::Kind;
use crate::names::Declaration;
use crate::spelling::{camel_case, docs};

/// Tokens that all newtypes share: made once, as a pipeline may have many.
struct Alike {
    lints: Tokens,
    /// The macro that implements what every newtype has.
    handle: Tokens,
    /// The start of an implementation of the newtype's own methods.
    methods_of: Tokens,
}

impl Cx<'_> {
    /// The struct, its newtypes, `items()` and `plan()`.
    pub(super) fn types(&self) -> TokenStream {
        let named = self.newtypes();
        let alike = self.alike();
        let newtypes = self.names.declarations.iter().zip(&named).filter_map(|(declaration, newtype)| {
            let newtype = newtype.as_ref()?;
            Some(self.newtype(declaration, newtype, &alike))
        });
        let fields = self.names.declarations.iter().zip(&named).map(|(declaration, newtype)| {
            let (docs, ident) = (&declaration.item.docs, declaration.ident);
            // rustc does not report unused code that macros generated. A field that starts and ends at the user's name
            // counts as the user's; for editors nothing else is spanned there.
            let at = match self.target {
                Target::Rustc => ident.span(),
                Target::Editor => Span::mixed_site(),
            };
            let one = newtype.as_ref().map_or_else(
                || self.kind_at(declaration.item.kind, at),
                |newtype| Ident::new(&newtype.to_string(), at).into_token_stream(),
            );
            let ty = match declaration.place.word() {
                None => one,
                Some(_) if declaration.place.is_repeated() => quote_spanned!(at=> ::std::vec::Vec<#one>),
                Some(_) => quote_spanned!(at=> ::core::option::Option<#one>),
            };
            let (lint, public) = (self.field_lint(declaration), quote_spanned!(at=> pub));
            quote!(#(#docs)* #lint #public #ident: #ty)
        });
        let (items, root, (docs, lints, visibility)) = (self.items(), self.root(), self.root_head());
        quote! {
            #(#newtypes)*
            #docs
            #[derive(::core::fmt::Debug, ::core::clone::Clone)]
            #lints
            #visibility struct #root { #(#fields),* }
            impl #root { #items }
        }
    }

    /// The value of the struct, from the user code's results.
    pub(super) fn value(&self, out: &Ident) -> TokenStream {
        let krate = &self.krate;
        let named = self.newtypes();
        let declarations = self.names.declarations.iter().zip(named).enumerate();
        let fields = declarations.map(|(number, (declaration, newtype))| {
            let (ident, number) = (self.field(declaration), index(number));
            let given = quote!(#out.#number);
            let Some(newtype) = newtype else {
                return quote!(#ident: #given);
            };
            let extras = self.extras_of(declaration);
            let stored = extras.stored().len();
            let is_typed = !extras.typed.is_empty();
            let parts = |given: &TokenStream| {
                if is_typed {
                    return quote!(#newtype(#krate::__private::Ported::new(#given)));
                }
                if stored == 0 {
                    return quote!(#newtype(#given));
                }
                let parts = (0..=stored).map(index);
                quote!(#newtype(#(#given.#parts),*))
            };
            let each = || {
                if stored == 0 && !is_typed {
                    return quote!(#newtype);
                }
                let made = parts(&quote!(each));
                quote!(|each| #made)
            };
            match declaration.place.word() {
                None => {
                    let made = parts(&given);
                    quote!(#ident: #made)
                }
                Some(_) if declaration.place.is_repeated() => {
                    let each = each();
                    quote!(#ident: #given.into_iter().map(#each).collect())
                }
                Some(_) => {
                    let each = each();
                    quote!(#ident: #given.map(#each))
                }
            }
        });
        let root = self.root();
        quote!(#root { #(#fields),* })
    }

    /// The newtype of every declaration that needs one. Two names that differ only in case get two newtypes.
    fn newtypes(&self) -> Vec<Option<Ident>> {
        let mut taken = BTreeSet::from([self.root().to_string()]);
        // Beside a function they are among the user's types, so their names start with the name of its struct.
        let prefix = self.header.map(|header| header.name.unraw().to_string()).unwrap_or_default();
        let newtype = |declaration: &Declaration| {
            if self.extras_of(declaration).is_empty() {
                return None;
            }
            let mut name = format!("{prefix}{}", camel_case(&declaration.name));
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            Some(format_ident!("{}", name, span = Span::mixed_site()))
        };
        self.names.declarations.iter().map(newtype).collect()
    }

    fn alike(&self) -> Alike {
        let krate = &self.krate;
        Alike {
            lints: Tokens::of(if self.header.is_none() {
                quote!(#[allow(dead_code, non_camel_case_types)])
            } else {
                quote!(#[allow(dead_code, missing_docs, non_camel_case_types)])
            }),
            handle: Tokens::of(quote!(#krate::__handle!)),
            methods_of: Tokens::of(quote!(#[allow(dead_code)] impl)),
        }
    }

    /// What all newtypes have comes from a macro of the runtime's: rustc expands it in a tenth of the time that the same
    /// tokens take on their way out of here.
    fn newtype(&self, declaration: &Declaration, newtype: &Ident, alike: &Alike) -> TokenStream {
        let Alike { lints, handle, methods_of } = alike;
        let krate = &self.krate;
        let target = self.kind(declaration.item.kind);
        let extras = self.extras_of(declaration);
        let docs = &declaration.item.docs;
        let stored = extras.exports.iter().filter(|export| export.slot.is_some()).map(|export| {
            let text = quote!(::std::string::String);
            if export.is_certain { text } else { quote!(::core::option::Option<#text>) }
        });
        let methods = self.methods(declaration, extras);
        // Where rustc reports "not found for this struct"; nothing is spanned at the name itself, so that editors go to
        // the item.
        let at = self.seen_at(declaration.ident.span());
        let exposes = extras.typed.iter().map(|(port, at)| {
            let span = self.seen_at(*at);
            // Written as users write it: messages show the type.
            let (krate, port) = (self.krate_at(span), Literal::u16_unsuffixed(*port));
            quote_spanned! {span=>
                impl #krate::Exposes<#port> for #newtype {
                    fn service(&self) -> &#krate::Service { &self.0 }
                }
            }
        });
        let visibility = self.visibility(at);
        let inner = if extras.typed.is_empty() {
            target.to_token_stream()
        } else {
            quote!(#krate::__private::Ported<#newtype>)
        };
        let fields = (1..=extras.stored().len()).map(index);
        let definition = quote_spanned!(at=> #visibility struct #newtype(#inner, #(#stored),*););
        quote! {
            #(#docs)*
            #lints
            #definition
            #handle(#newtype, #inner, #target #(, #fields)*);
            #methods_of #newtype { #methods }
            #(#exposes)*
        }
    }

    /// The span of generated code that rustc shows. For editors nothing generated is spanned at the user's tokens.
    fn seen_at(&self, span: Span) -> Span {
        match self.target {
            Target::Rustc => Span::mixed_site().located_at(span),
            Target::Editor => Span::mixed_site(),
        }
    }

    fn methods(&self, declaration: &Declaration, extras: &Extras) -> TokenStream {
        let krate = &self.krate;
        let ports = extras.ports.iter().map(|port| {
            let (ident, name) = (port.ident, &port.name);
            if port.is_certain {
                quote!(pub fn #ident(&self) -> #krate::Endpoint { #krate::__private::endpoint(&self.0, #name) })
            } else {
                quote! {
                    pub fn #ident(&self) -> ::core::option::Option<#krate::Endpoint> {
                        #krate::__private::endpoint_if(&self.0, #name)
                    }
                }
            }
        });
        let mut field = 0;
        let exports: Vec<_> = extras
            .exports
            .iter()
            .map(|export| {
                let ident = export.ident;
                let (ty, method) = if export.is_directory {
                    (quote!(#krate::Directory), "directory")
                } else {
                    (quote!(#krate::File), "file")
                };
                let of_path = |path: TokenStream| self.export(method, path, export.place);
                if export.slot.is_none() {
                    let path = of_path(export.path.text().to_token_stream());
                    return quote!(pub fn #ident(&self) -> #ty { self.0 #path });
                }
                field += 1;
                let field = index(field);
                if export.is_certain {
                    let path = of_path(quote!(self.#field.as_str()));
                    return quote!(pub fn #ident(&self) -> #ty { self.0 #path });
                }
                let path = of_path(quote!(path));
                quote! {
                    pub fn #ident(&self) -> ::core::option::Option<#ty> {
                        self.#field.as_deref().map(|path| self.0 #path)
                    }
                }
            })
            .collect();
        // Replaces the method that knows nothing of the ports. Here and not in the runtime, so that rustc points at the port.
        let endpoint = (!extras.typed.is_empty()).then(|| {
            let docs = " Where clients find this port, which the service exposes.";
            let span = self.seen_at(declaration.ident.span());
            let krate = self.krate_at(span);
            quote_spanned! {span=>
                #[doc = #docs]
                pub fn endpoint_on<const PORT: u16>(&self) -> #krate::Endpoint where Self: #krate::Exposes<PORT> {
                    self.0.endpoint_on(PORT)
                }
            }
        });
        quote!(#(#ports)* #endpoint #(#exports)*)
    }

    /// The call that returns a container's export.
    fn export(&self, method: &str, path: TokenStream, place: Place) -> Tokens {
        match self.target {
            Target::Rustc => self.method(method, path, place),
            // Nothing generated is spanned at the user's tokens.
            Target::Editor => {
                let method = format_ident!("{method}");
                Tokens::of(quote!(.#method(#path)))
            }
        }
    }

    /// rustc reports a handle that is never read if nothing in the pipeline uses it either: a service that nobody binds,
    /// a container that nobody reads. A handle that is used inside need not be used outside.
    fn field_lint(&self, declaration: &Declaration) -> Option<TokenStream> {
        let is_used = self.target == Target::Editor || self.names.is_mentioned(&declaration.name);
        is_used.then(|| quote!(#[allow(dead_code)]))
    }

    /// The name of a field for generated code. For an editor the user's name leads to its declaration, so its span is
    /// used only there.
    fn field(&self, declaration: &Declaration) -> Ident {
        let mut ident = declaration.ident.clone();
        if self.target == Target::Editor {
            ident.set_span(Span::mixed_site());
        }
        ident
    }

    /// `items()`: every item, in the order of the declarations; and `plan()`, what of them would run. Both are methods of
    /// the struct itself, and of no trait: rustc would take the fields that a trait's method reads for used.
    fn items(&self) -> TokenStream {
        let krate = &self.krate;
        let call = |declaration: &Declaration, item: TokenStream, handle: TokenStream| {
            let (name, docs) = (&declaration.name, docs(&declaration.item.docs));
            let method = match (declaration.item.kind, &declaration.item.definition) {
                (Kind::Service, Definition::Value(..)) => quote!(given_service),
                (Kind::Service, _) => quote!(service),
                (Kind::Container, Definition::Value(..)) => quote!(given_container),
                (Kind::Container, _) => quote!(container),
                (Kind::Cache, _) => quote!(cache),
                (Kind::Dir, _) => quote!(directory),
                (Kind::File, _) => quote!(file),
                (Kind::Secret, _) => quote!(secret),
            };
            let exports = self.extras_of(declaration).exports.iter().map(|export| {
                let (name, mut ident) = (export.ident.unraw().to_string(), export.ident.clone());
                ident.set_span(Span::mixed_site());
                let method = format_ident!("{}", if export.is_certain { "export" } else { "export_if" });
                quote!(.#method(#name, #item.#ident()))
            });
            quote!(.#method(#name, #docs, #handle) #(#exports)*)
        };
        let declarations = &self.names.declarations;
        let body = if declarations.iter().all(|declaration| declaration.place.is_certain()) {
            let calls = declarations.iter().map(|declaration| {
                let ident = self.field(declaration);
                call(declaration, quote!(self.#ident), quote!(&self.#ident))
            });
            quote!(#krate::__private::Items::new() #(#calls)* .build())
        } else {
            let statements = declarations.iter().map(|declaration| {
                let ident = self.field(declaration);
                let one = call(declaration, quote!(self.#ident), quote!(&self.#ident));
                let each = call(declaration, quote!(each), quote!(each));
                match declaration.place.word() {
                    None => quote!(items = items #one;),
                    Some(_) if declaration.place.is_repeated() => {
                        quote!(for each in &self.#ident { items = items #each; })
                    }
                    Some(_) => quote! {
                        if let ::core::option::Option::Some(each) = &self.#ident { items = items #each; }
                    },
                }
            });
            quote! {
                let mut items = #krate::__private::Items::new();
                #(#statements)*
                items.build()
            }
        };
        let (items_docs, plan_docs) =
            (" The items, in order.", " What would run, in order. Needs no engine.");
        quote! {
            #[doc = #items_docs]
            pub fn items(&self) -> ::std::vec::Vec<#krate::Item> { #body }
            #[doc = #plan_docs]
            pub fn plan(&self) -> #krate::Plan { #krate::__private::plan(&self.items()) }
        }
    }
}

/// The name of a field of a tuple. No pipeline has so many items that it is inexact.
fn index(index: usize) -> Index {
    Index { index: u32::try_from(index).unwrap_or(u32::MAX), span: Span::mixed_site() }
}
