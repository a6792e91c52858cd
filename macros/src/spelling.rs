//! Names of the user's in Rust's spelling of types and in the spelling of host names, and doc comments as text.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Attribute, Expr, Lit, LitStr, Meta, MetaNameValue};

/// The name of a struct, made from a function's or an item's.
pub(crate) fn camel_case(name: &str) -> String {
    let mut result = String::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let mut characters = part.chars();
        result.extend(characters.next().into_iter().flat_map(char::to_uppercase));
        result.extend(characters);
    }
    if result.is_empty() || result.starts_with(|first: char| first.is_numeric()) || result == "Self" {
        result.insert(0, '_');
    }
    result
}

/// The default alias of a binding: host names have no `_`.
pub(crate) fn default_alias(service: &Ident) -> LitStr {
    LitStr::new(&service.unraw().to_string().replace('_', "-"), service.span())
}

/// Doc comments as text.
pub(crate) fn docs(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(MetaNameValue { value: Expr::Lit(literal), .. }) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(line)
        .map(|line| line.strip_prefix(' ').map(str::to_owned).unwrap_or(line))
        .collect();
    lines.join("\n")
}
