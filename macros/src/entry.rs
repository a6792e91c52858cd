//! `#[bowline::main]` and `#[bowline::test]`.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Path, Result, Signature, Token, Visibility};

use crate::errors::{Errors, help};
use crate::registry::{ENTRY_ARGUMENTS, ENTRY_ITEM, ENTRY_NOT_ASYNC, ENTRY_OPTION, ENTRY_TWICE};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Main,
    Test,
}

/// A function whose body is not parsed, so that it may be half typed.
struct Function {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    body: TokenTree,
}

pub(crate) fn main(options: &TokenStream, function: &TokenStream) -> TokenStream {
    expand(Entry::Main, options, function)
}

pub(crate) fn test(options: &TokenStream, function: &TokenStream) -> TokenStream {
    expand(Entry::Test, options, function)
}

fn expand(entry: Entry, options: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = krate(options, &mut errors);
    let Ok(function) = Function::parse.parse2(item.clone()) else {
        let message = format!("`#[{}]` stands on a function", entry.name());
        errors.on(&ENTRY_ITEM, item, message);
        let errors = errors.to_tokens();
        return quote!(#errors #item);
    };
    check_async(entry, &function, &mut errors);
    check_parameters(entry, &function, &mut errors);
    check_second_test(entry, &function, &mut errors);
    let errors_tokens = errors.to_tokens();
    let Function { attributes, visibility, signature, body } = &function;
    if !signature.inputs.is_empty() || !signature.generics.params.is_empty() {
        // Spans stay close to the function, for the editor and for rustc's own errors in the body.
        let name = &signature.ident;
        return quote! {
            #errors_tokens
            #visibility fn #name() { #[allow(dead_code)] #signature #body }
        };
    }
    let (name, output) = (&signature.ident, &signature.output);
    let unsafety = &signature.safety;
    let private = quote!(#krate::__private);
    // A function that lacks `async` is expanded as if it had it, as that is what was meant.
    let future = quote!(async #body);
    match entry {
        Entry::Main => quote! {
            #errors_tokens
            #(#attributes)*
            #visibility #unsafety fn #name() #output { #private::main(#future) }
        },
        Entry::Test => {
            let attributes = attributes.iter().filter(|attribute| !is_test(attribute));
            let text = name.to_string();
            quote! {
                #errors_tokens
                #[::core::prelude::v1::test]
                #(#attributes)*
                #visibility #unsafety fn #name() #output { #private::test(#text, #future) }
            }
        }
    }
}

/// The path from `crate = path`, else the crate under its own name.
fn krate(options: &TokenStream, errors: &mut Errors) -> TokenStream {
    let default = quote!(::bowline);
    if options.is_empty() {
        return default;
    }
    let parse = |input: ParseStream| -> Result<Path> {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let path = input.call(Path::parse_mod_style)?;
        input.parse::<Option<Token![,]>>()?;
        Ok(path)
    };
    parse.parse2(options.clone()).map_or_else(
        |_| {
            let message = help("unknown option", "the only option is `crate = path`");
            errors.on(&ENTRY_OPTION, options, message);
            default
        },
        ToTokens::into_token_stream,
    )
}

fn check_async(entry: Entry, function: &Function, errors: &mut Errors) {
    if function.signature.asyncness.is_none() {
        let (attribute, name) = (entry.name(), &function.signature.ident);
        let message = format!("`#[{attribute}]` stands on an async function");
        errors.on(&ENTRY_NOT_ASYNC, function.signature.fn_token, help(message, format!("`async fn {name}`")));
    }
}

fn check_parameters(entry: Entry, function: &Function, errors: &mut Errors) {
    let (signature, attribute) = (&function.signature, entry.name());
    if !signature.inputs.is_empty() {
        let message = format!("a `#[{attribute}]` function has no parameters");
        errors.on(&ENTRY_ARGUMENTS, &signature.inputs, message);
    }
    if !signature.generics.params.is_empty() {
        let message = format!("a `#[{attribute}]` function is not generic");
        errors.on(&ENTRY_ARGUMENTS, &signature.generics, message);
    }
}

fn check_second_test(entry: Entry, function: &Function, errors: &mut Errors) {
    let second = function.attributes.iter().find(|attribute| is_test(attribute));
    if let (Entry::Test, Some(second)) = (entry, second) {
        let message =
            help("this function would be tested twice", "remove `#[test]`: `#[bowline::test]` adds it");
        errors.on(&ENTRY_TWICE, second, message);
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("test")
}

impl Entry {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "bowline::main",
            Self::Test => "bowline::test",
        }
    }
}

impl Function {
    fn parse(input: ParseStream) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        let body = input.parse::<Group>()?;
        if body.delimiter() != Delimiter::Brace {
            return Err(input.error("expected a body"));
        }
        Ok(Self { attributes, visibility, signature, body: TokenTree::Group(body) })
    }
}
