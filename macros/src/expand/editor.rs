//! The expansion as an editor reads it: the shadow first, the same code after it however incomplete it is, and the
//! errors last. `p.` goes on completing while a body is half typed, because the handles always come out.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Cx, local};
use crate::ast::Pipeline;
use crate::shadow::{self, Shadow};

impl Cx<'_> {
    pub(super) fn editor(&self, pipeline: &Pipeline) -> TokenStream {
        let Shadow { paths, uses } = shadow::shadow(&pipeline.krate, pipeline, self.names);
        let (out, result) = (local("out"), local("value"));
        let code = self.scope(&pipeline.nodes, true);
        let accumulators = self.accumulators();
        let outputs = self.names.declarations.iter().map(|declaration| self.output(declaration));
        let (types, value) = (self.types(), self.value(&out));
        let errors = self.errors.to_tokens();
        quote! {{
            #paths
            let #out = { #accumulators #code (#(#outputs,)*) };
            let #result = {
                #types
                fn __uses(p: &Pipeline) { #(let _ = &p.#uses;)* }
                #value
            };
            #errors
            #result
        }}
    }
}
