//! The expansion for an editor: the shadow first, then the normal code however incomplete it is, then the errors.
//! Completion after `p.` works while a body is half typed, because the handles are always generated.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Cx, local};
use crate::ast::{Form, Pipeline};
use crate::ide::{self, Shadow};

impl Cx<'_> {
    pub(super) fn editor(&self, pipeline: &Pipeline) -> TokenStream {
        let Shadow { paths, uses } = ide::shadow(&pipeline.krate, pipeline, self.names);
        let (out, result) = (local("out"), local("value"));
        let code = self.scope(&pipeline.nodes, true);
        let outputs = self.names.declarations.iter().map(|declaration| self.output(declaration));
        let (types, value, root) = (self.types(), self.wrapped(self.value(&out)), self.root());
        let errors = self.errors.to_tokens();
        // In blocks of their own, so that none of it is offered in the user's code.
        let uses = quote!({ fn __uses(p: &#root) { #(let _ = &p.#uses;)* } });
        let code = quote! {
            { #paths }
            let #out = { #code (#(#outputs,)*) };
        };
        match &pipeline.form {
            Form::Item(header) => {
                let function = self.function(header, &quote!(#code #uses #value), false);
                quote!(#function #types #errors)
            }
            form => {
                let block = quote! {{
                    #code
                    let #result = { #types #uses #value };
                    #errors
                    #result
                }};
                // The signature is still being typed: its items complete as usual.
                if matches!(form, Form::Broken) { quote!(fn __broken() { #block; }) } else { block }
            }
        }
    }
}
