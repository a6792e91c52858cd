//! A body: one chain of builder calls, or, if it has control flow, a variable that is built step by step.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use super::{Cx, Target, local};
use crate::ast::{Block, Else, If, Let, Node, NodeKind, Statement, StatementKind};
use crate::keywords::Kind;
use crate::names::Declaration;

impl Cx<'_> {
    /// `__define_x.set(…);`. For an editor only the calls, as it would complete every name in scope.
    pub(super) fn body(&self, declaration: &Declaration, block: &Block<Statement>) -> TokenStream {
        let definition = local(&format!("define_{}", declaration.name));
        let kind = declaration.item.kind;
        let (start, rest) = self.start(kind, &block.nodes);
        let is_chain = |node: &Node<Statement>| match &node.kind {
            NodeKind::Leaf(statement) => self.path(declaration, statement).is_none(),
            _ => false,
        };
        if rest.iter().all(is_chain) {
            let calls = rest.iter().filter_map(|node| match &node.kind {
                NodeKind::Leaf(statement) => Some(self.call(statement)),
                _ => None,
            });
            return match self.target {
                Target::Rustc => {
                    let set = self.method("set", quote!(#start #(#calls)*), declaration.item.place());
                    quote!(#definition #set;)
                }
                Target::Editor => quote!(let _ = #start #(#calls)*;),
            };
        }
        let body = local("body");
        let statements = self.statements(declaration, rest);
        if self.target == Target::Editor {
            return quote!({ let _ = #start; #statements });
        }
        let set = self.method("set", body.to_token_stream(), declaration.item.place());
        quote! {{
            let mut #body = #start;
            #statements
            #definition #set;
        }}
    }

    /// The start of the chain, and the remaining statements.
    fn start<'n>(&self, kind: Kind, nodes: &'n [Node<Statement>]) -> (TokenStream, &'n [Node<Statement>]) {
        // For rustc the image is set by a method: only a method call can be given a location.
        if let [Node { kind: NodeKind::Leaf(first), .. }, rest @ ..] = nodes
            && self.target == Target::Editor
            && !self.errors.is_left_out(first.id)
        {
            let span = Span::mixed_site().located_at(first.end());
            let ty = self.kind_at(kind, span);
            match &first.kind {
                StatementKind::Image(image) => {
                    let image = super::call::argument(image);
                    return (quote_spanned!(span=> #ty::from_image(#image)), rest);
                }
                StatementKind::From(other) => {
                    let other = self.named(other, span);
                    return (quote_spanned!(span=> #ty::from_container(#other)), rest);
                }
                _ => {}
            }
        }
        let ty = self.kind(kind);
        (quote!(#ty::empty()), nodes)
    }

    /// Statements of a body with control flow. Adjacent ones still form one chain.
    fn statements(&self, declaration: &Declaration, nodes: &[Node<Statement>]) -> TokenStream {
        let chained = |chain: TokenStream| match self.target {
            Target::Rustc => {
                let body = local("body");
                quote!(#body = #body #chain;)
            }
            Target::Editor => {
                let absent = self.absent(&self.kind(declaration.item.kind).to_token_stream());
                quote!(let _ = #absent #chain;)
            }
        };
        let mut code = TokenStream::new();
        let mut chain = TokenStream::new();
        for node in nodes {
            let next = match &node.kind {
                NodeKind::Leaf(statement) => {
                    let Some(path) = self.path(declaration, statement) else {
                        self.call(statement).to_tokens(&mut chain);
                        continue;
                    };
                    path
                }
                other => self.statement_node(declaration, other),
            };
            if !chain.is_empty() {
                code.extend(chained(std::mem::take(&mut chain)));
            }
            code.extend(next);
        }
        if !chain.is_empty() {
            code.extend(chained(chain));
        }
        code
    }

    fn statement_node(&self, declaration: &Declaration, node: &NodeKind<Statement>) -> TokenStream {
        match node {
            NodeKind::Leaf(_) | NodeKind::Unknown(_) | NodeKind::Let(Let::Partial) => TokenStream::new(),
            NodeKind::Let(Let::Local(local)) => quote!(#local),
            NodeKind::If(node) => self.statement_if(declaration, node),
            NodeKind::For(node) => {
                let (for_token, pattern, in_token) = (&node.keyword, &node.pattern, &node.in_token);
                let (iterator, body) = (&node.iterator, self.statements(declaration, &node.body.nodes));
                quote!(#for_token #pattern #in_token #iterator { #body })
            }
            NodeKind::Match(node) => {
                let (match_token, scrutinee) = (&node.keyword, &node.scrutinee);
                let arms = node.arms.iter().map(|arm| {
                    let (pattern, body) = (&arm.pattern, self.statements(declaration, &arm.body.nodes));
                    let guard = arm.guard.as_ref().map(|(if_token, guard)| quote!(#if_token #guard));
                    quote!(#pattern #guard => { #body })
                });
                quote!(#match_token #scrutinee { #(#arms)* })
            }
        }
    }

    fn statement_if(&self, declaration: &Declaration, node: &If<Statement>) -> TokenStream {
        let (if_token, condition) = (&node.keyword, &node.condition);
        let then = self.statements(declaration, &node.then.nodes);
        let otherwise = node.otherwise.as_ref().map(|(else_token, otherwise)| match otherwise {
            Else::If(node) => {
                let node = self.statement_if(declaration, node);
                quote!(#else_token #node)
            }
            Else::Block(block) => {
                let block = self.statements(declaration, &block.nodes);
                quote!(#else_token { #block })
            }
        });
        quote!(#if_token #condition { #then } #otherwise)
    }

    /// The path of an export, stored if it is known only at run time. Other statements give nothing.
    fn path(&self, declaration: &Declaration, statement: &Statement) -> Option<TokenStream> {
        let StatementKind::Export { path, .. } = &statement.kind else {
            return None;
        };
        let export = self
            .extras_of(declaration)
            .exports
            .iter()
            .find(|export| export.statements.contains(&statement.id))?;
        let slot = export.slot.as_ref()?;
        let span = Span::mixed_site().located_at(statement.end());
        let path = super::call::operand_argument(path);
        let text = quote_spanned!(span=> ::core::convert::Into::<::std::string::String>::into(#path));
        Some(if self.target == Target::Editor {
            quote!(let _ = #text;)
        } else if export.is_certain {
            quote!(#slot = #text;)
        } else {
            quote!(#slot = ::core::option::Option::Some(#text);)
        })
    }
}
