//! `#[bowline::main]` and `#[bowline::test]`.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Path, Result, ReturnType, Signature, Token, Type, Visibility};

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
    let Options { krate, shared } = Options::parse(entry, options, &mut errors);
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
            let has_failed = match &signature.output {
                ReturnType::Default => quote!(|_: &()| false),
                // Nobody can name its type here: only a panic counts.
                ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => quote!(|_| false),
                ReturnType::Type(_, ty) => quote!(|result: &#ty| result.has_failed()),
            };
            let sharing = if shared { quote!(Shared) } else { quote!(Own) };
            quote! {
                #errors_tokens
                #[::core::prelude::v1::test]
                #(#attributes)*
                #visibility #unsafety fn #name() #output {
                    // Which of the two traits has the method depends on the type of the result.
                    #[allow(unused_imports)]
                    use #private::{OtherOutcome as _, ResultOutcome as _};
                    #private::test(#private::TestSession::#sharing, #future, #has_failed)
                }
            }
        }
    }
}

/// What stands in the parentheses of the attribute.
struct Options {
    /// The path of the runtime crate: from `crate = path`, else its own name.
    krate: TokenStream,
    /// Whether a test shares a session with others.
    shared: bool,
}

impl Options {
    fn parse(entry: Entry, options: &TokenStream, errors: &mut Errors) -> Self {
        let default = || Self { krate: quote!(::bowline), shared: false };
        let parse = |input: ParseStream| -> Result<Self> {
            let mut found = default();
            while !input.is_empty() {
                if input.peek(Token![crate]) {
                    input.parse::<Token![crate]>()?;
                    input.parse::<Token![=]>()?;
                    found.krate = input.call(Path::parse_mod_style)?.into_token_stream();
                } else {
                    let option: Ident = input.parse()?;
                    if entry != Entry::Test || option != "shared" {
                        return Err(input.error("unknown option"));
                    }
                    found.shared = true;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(found)
        };
        parse.parse2(options.clone()).unwrap_or_else(|_| {
            let advice = match entry {
                Entry::Main => "the only option is `crate = path`",
                Entry::Test => "the options are `shared` and `crate = path`",
            };
            errors.on(&ENTRY_OPTION, options, help("unknown option", advice));
            default()
        })
    }
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
