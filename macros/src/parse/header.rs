//! The signature of a pipeline in item position: `pub fn ci(version: &str) -> Ci;`.

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{
    Attribute, FnArg, GenericArgument, PathArguments, ReturnType, Signature, Token, Type, Visibility, token,
};

use super::recover::starts_statement;
use super::{Parser, before, between, brace};
use crate::ast::{Form, Header, Item, Node, Outcome};
use crate::errors::{help, is_whole_call};
use crate::flag::{FlagOptions, is_of_flag};
use crate::registry::{MISSING_SEMICOLON, SIGNATURE, SIGNATURE_TYPE};
use crate::spelling::camel_case;

/// Attributes allowed on the function besides doc comments: lints that apply to the code in it.
const LINTS: [&str; 5] = ["allow", "expect", "warn", "deny", "must_use"];

/// Whether a signature starts here: an item of a pipeline has no visibility and never starts with `fn`.
pub(super) fn starts_signature(input: ParseStream) -> bool {
    let fork = input.fork();
    while fork.peek(Token![#]) {
        let _ = fork.parse::<Token![#]>();
        if fork.peek(token::Bracket) {
            let _ = fork.parse::<TokenTree>();
        }
    }
    if fork.parse::<Visibility>().is_err() {
        return false;
    }
    fork.peek(Token![fn])
        || fork.peek(Token![async])
        || fork.peek(Token![unsafe])
        || fork.peek(Token![const])
        || fork.peek(Token![extern])
}

impl Parser {
    /// The signature and its items. Mistakes in the signature do not hide those in the items.
    pub(super) fn function(&mut self, input: ParseStream) -> (Form, Vec<Node<Item>>) {
        let attributes = self.attributes_of_function(input);
        let visibility = input.parse().unwrap_or(Visibility::Inherited);
        let Some(mut signature) = self.signature(input) else {
            let nodes = self.nodes(input);
            return (Form::Broken, nodes);
        };
        let nodes = self.items_after(input);
        self.check_signature(&signature);
        let outcome = self.outcome(&signature);
        signature.constness = None;
        signature.abi = None;
        let flags = signature.inputs.clone();
        self.take_flags(&mut signature);
        let form = match outcome {
            Some((name, outcome)) if is_sound(&signature) => {
                Form::Item(Box::new(Header { attributes, visibility, signature, flags, name, outcome }))
            }
            // It was reported.
            _ => Form::Broken,
        };
        (form, nodes)
    }

    fn attributes_of_function(&mut self, input: ParseStream) -> Vec<Attribute> {
        let (fitting, others): (Vec<_>, Vec<_>) = self.attributes(input).into_iter().partition(|attribute| {
            let path = attribute.path();
            path.is_ident("doc") || LINTS.iter().any(|lint| path.is_ident(lint))
        });
        for other in others {
            let message = help(
                "this attribute is not allowed here",
                "doc comments and lints stand on the function; `#[cfg(...)]` stands on `pipeline!` itself",
            );
            self.errors.on(&SIGNATURE, other, message);
        }
        fitting
    }

    fn signature(&mut self, input: ParseStream) -> Option<Signature> {
        let fork = input.fork();
        match fork.parse::<Signature>() {
            Ok(signature) => {
                input.advance_to(&fork);
                Some(signature)
            }
            Err(error) => {
                let begin = input.fork();
                let start = before(input);
                while !input.is_empty() && !input.peek(Token![;]) && !starts_statement(input) {
                    let _ = input.parse::<TokenTree>();
                }
                let partial = between(&begin, input);
                let _ = input.parse::<Token![;]>();
                let text = error.to_string();
                // At the end of a group, as in `(version: )`, syn's position is the closing delimiter.
                let (span, text) = match text.strip_prefix("unexpected end of input, ") {
                    Some(wanted) if !is_whole_call(error.span()) => (error.span(), wanted),
                    Some(wanted) => (partial.into_iter().last().map_or(start, |token| token.span()), wanted),
                    None if is_whole_call(error.span()) => (start, text.as_str()),
                    None => (error.span(), text.as_str()),
                };
                let advice = "a signature is written as in `pub fn ci(version: &str) -> Ci;`";
                self.errors.at(&SIGNATURE, span, help(text, advice));
                None
            }
        }
    }

    /// `;` and the items; or the items in braces, like a function's body.
    fn items_after(&mut self, input: ParseStream) -> Vec<Node<Item>> {
        if input.peek(token::Brace)
            && let Ok((braces, content)) = brace(input)
        {
            let message = help("expected `;` after the signature", "the items follow it without braces");
            self.errors.at(&SIGNATURE, braces.span.open(), message);
            let mut nodes = self.nodes(&content);
            nodes.extend(self.nodes(input));
            return nodes;
        }
        if input.parse::<Token![;]>().is_err() {
            self.errors.at(&MISSING_SEMICOLON, before(input), "expected `;` after this");
        }
        self.nodes(input)
    }

    fn check_signature(&mut self, signature: &Signature) {
        if let Some(constness) = signature.constness {
            let message = "a pipeline is built when the program runs: its function is not `const`";
            self.errors.at(&SIGNATURE, constness.span, message);
        }
        if let Some(abi) = &signature.abi {
            self.errors.on(&SIGNATURE, abi, "a pipeline's function is a Rust function");
        }
        if let Some(variadic) = &signature.variadic {
            self.errors.on(&SIGNATURE, variadic, "a pipeline's function takes a fixed list of parameters");
        }
        for parameter in &signature.inputs {
            if let FnArg::Receiver(receiver) = parameter {
                let message =
                    help("a pipeline's function is no method", "take what it needs by name: `app: &App`");
                self.errors.on(&SIGNATURE, receiver, message);
            }
        }
    }

    /// Takes what makes a parameter a flag of a command line off the signature, and judges it.
    fn take_flags(&mut self, signature: &mut Signature) {
        for parameter in &mut signature.inputs {
            let FnArg::Typed(parameter) = parameter else { continue };
            for attribute in parameter.attrs.extract_if(.., |attribute| is_of_flag(attribute)) {
                FlagOptions::default().read(&attribute, &mut self.errors);
            }
        }
    }

    /// The name of the struct, and how the function returns it.
    fn outcome(&mut self, signature: &Signature) -> Option<(Ident, Outcome)> {
        let function = signature.ident.unraw().to_string();
        let name = camel_case(&function);
        let ReturnType::Type(_, ty) = &signature.output else {
            let message = format!("`{function}` does not say what comes out");
            let advice = format!("name the struct of its handles: `fn {}(...) -> {name};`", signature.ident);
            self.errors.at(&SIGNATURE_TYPE, signature.ident.span(), help(message, advice));
            return None;
        };
        let found = named(ty);
        if found.is_none() {
            let message = "this is not the name of a struct";
            let advice =
                format!("`pipeline!` makes the struct, so name it here: `{name}` or `Result<{name}>`");
            self.errors.on(&SIGNATURE_TYPE, ty, help(message, advice));
        }
        found
    }

    /// A signature that is not first, in the place of an item.
    pub(super) fn late_signature(&mut self, keyword: &Ident) -> bool {
        let is_late = ["fn", "pub", "async"].iter().any(|word| keyword == word);
        if is_late {
            let message = "a pipeline has one function, and its signature stands first";
            let advice = "put what stands above it below; another pipeline is another `pipeline!`";
            self.errors.at(&SIGNATURE, keyword.span(), help(message, advice));
        }
        is_late
    }
}

/// Whether rustc can use the signature.
fn is_sound(signature: &Signature) -> bool {
    signature.variadic.is_none() && signature.receiver().is_none()
}

/// `Ci`, `Result<Ci>`, `io::Result<Ci>`, `Result<Ci, Error>` or `Option<Ci>`.
fn named(ty: &Type) -> Option<(Ident, Outcome)> {
    let Type::Path(path) = ty else {
        return None;
    };
    let last = path.path.segments.last().filter(|_| path.qself.is_none())?;
    match &last.arguments {
        PathArguments::None if path.path.segments.len() == 1 && last.ident != "Self" => {
            Some((last.ident.clone(), Outcome::Plain))
        }
        PathArguments::AngleBracketed(arguments) => {
            let outcome = match last.ident.to_string().as_str() {
                "Option" => Outcome::Some,
                alias if alias.ends_with("Result") => Outcome::Ok,
                _ => return None,
            };
            let GenericArgument::Type(inner) = arguments.args.first()? else {
                return None;
            };
            match named(inner)? {
                (name, Outcome::Plain) => Some((name, outcome)),
                _ => None,
            }
        }
        _ => None,
    }
}
