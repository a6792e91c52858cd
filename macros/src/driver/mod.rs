//! The stages of a pipeline through the crate.

use proc_macro2::TokenStream;

use crate::errors::Lines;
use crate::expand::Target;
use crate::names::Names;
use crate::{check, expand, parse};

/// Takes the path of the runtime crate, `;`, and the contents of `pipeline! { … }`.
pub(crate) fn pipeline(input: TokenStream, target: Target) -> TokenStream {
    let (pipeline, mut errors) = match parse::pipeline(input) {
        Ok(parsed) => parsed,
        // This only fails without the façade of the runtime crate.
        Err(error) => return error.into_compile_error(),
    };
    errors.lines = match target {
        Target::Rustc => Lines::Known,
        Target::Editor => Lines::Unknown,
    };
    let names = Names::collect(&pipeline, &mut errors);
    check::check(&names, &mut errors);
    expand::expand(&pipeline, &names, &errors, target)
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod judged;
#[cfg(test)]
mod properties;
