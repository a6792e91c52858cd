//! The diagnostics of an input, without its expansion.

use proc_macro2::TokenStream;

use crate::errors::{Errors, position};
use crate::names::Names;
use crate::{check, parse};

/// `None` without the façade of the runtime crate.
fn judged(input: TokenStream) -> Option<Errors> {
    let (pipeline, mut errors) = parse::pipeline(input).ok()?;
    let names = Names::collect(&pipeline, &mut errors);
    check::check(&names, &mut errors);
    Some(errors)
}

/// The warnings for an input.
pub(crate) fn warned(input: TokenStream) -> Vec<&'static str> {
    judged(input).map(|errors| errors.warned()).unwrap_or_default()
}

/// The rules that an input breaks, each with place and message.
pub(crate) fn broken_rules(input: TokenStream) -> Vec<(&'static str, String)> {
    let Some(errors) = judged(input) else {
        return vec![("facade", String::new())];
    };
    errors
        .sorted()
        .iter()
        .map(|diagnostic| {
            let (line, column) = position(diagnostic.start);
            (diagnostic.rule.name, format!("{line}:{column}: {}", diagnostic.message))
        })
        .collect()
}
