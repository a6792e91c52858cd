//! A scope of items: all handles first, so that the order is free; then bodies and values in the user's order.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;

use super::{Cx, Target, Tokens, accumulator, local};
use crate::ast::{Definition, Else, If, Item, Let, Mention, Node, NodeKind, Value};
use crate::keywords::Kind;
use crate::names::Declaration;

impl Cx<'_> {
    /// `outermost` handles are results of the user code directly; others go to their accumulators.
    pub(super) fn scope(&self, nodes: &[Node<Item>], outermost: bool) -> TokenStream {
        let declared = || nodes.iter().filter_map(|node| self.declared(node));
        let handles = declared().map(|declaration| self.declare(declaration));
        let code = match self.target {
            Target::Rustc => in_order(nodes, |node| self.item_node(node)),
            Target::Editor => nodes.iter().map(|node| self.item_node(node)).collect(),
        };
        let is_collected = !outermost && self.target == Target::Rustc;
        let collected = declared().filter(|_| is_collected).filter_map(|declaration| {
            let (accumulator, handle) = (accumulator(declaration)?, self.handle(declaration));
            Some(if declaration.place.is_repeated() {
                quote!(#accumulator.push(#handle);)
            } else {
                quote!(#accumulator = ::core::option::Option::Some(#handle);)
            })
        });
        quote!(#(#handles)* #code #(#collected)*)
    }

    fn declared(&self, node: &Node<Item>) -> Option<&Declaration<'_>> {
        match &node.kind {
            NodeKind::Leaf(item) => self.names.of_item(item),
            _ => None,
        }
    }

    /// What exists before any body: services, containers, and caches that depend on no user code.
    fn declare(&self, declaration: &Declaration) -> TokenStream {
        let (ident, name, item) = (declaration.ident, &declaration.name, declaration.item);
        match &item.definition {
            // An editor would offer generated names beside it. Half-typed Rust does not show reliably what needs what, so
            // nothing waits for an editor: see `scope`.
            Definition::Body(_) | Definition::Value(..) if self.target == Target::Editor => {
                let ty = self.kind(item.kind);
                let absent = self.absent(&ty.to_token_stream());
                quote!(let #ident: #ty = #absent;)
            }
            Definition::Body(_) => {
                let definition = local(&format!("define_{name}"));
                let ty = self.kind(item.kind);
                let paths = self.extras_of(declaration).declare();
                // Items of a loop are told apart by their numbers.
                let numbered = accumulator(declaration).filter(|_| declaration.place.is_repeated());
                let name = numbered.map_or_else(
                    || quote!(#name),
                    |all| {
                        let krate = &self.krate;
                        quote!(#krate::__private::numbered(#name, #all.len()))
                    },
                );
                quote!(let (#ident, #definition) = #ty::declare(#name); #paths)
            }
            Definition::Default => {
                let ty = self.kind(item.kind);
                let written = self.written(item);
                let sharing = item.sharing.as_ref().map(|word| quote!(.#word()));
                quote!(let #ident = #ty::new(#name) #written #sharing;)
            }
            Definition::Value(..) | Definition::Missing => TokenStream::new(),
        }
    }

    fn item_node(&self, node: &Node<Item>) -> TokenStream {
        match &node.kind {
            NodeKind::Leaf(item) => self.define(item),
            NodeKind::Let(Let::Local(local)) => quote!(#local),
            NodeKind::Unknown(_) | NodeKind::Let(Let::Partial) => TokenStream::new(),
            NodeKind::If(node) => self.item_if(node),
            NodeKind::For(node) => {
                let (for_token, pattern, in_token) = (&node.keyword, &node.pattern, &node.in_token);
                let (iterator, body) = (&node.iterator, self.scope(&node.body.nodes, false));
                quote!(#for_token #pattern #in_token #iterator { #body })
            }
            NodeKind::Match(node) => {
                let (match_token, scrutinee) = (&node.keyword, &node.scrutinee);
                let arms = node.arms.iter().map(|arm| {
                    let (pattern, body) = (&arm.pattern, self.scope(&arm.body.nodes, false));
                    let guard = arm.guard.as_ref().map(|(if_token, guard)| quote!(#if_token #guard));
                    quote!(#pattern #guard => { #body })
                });
                quote!(#match_token #scrutinee { #(#arms)* })
            }
        }
    }

    fn item_if(&self, node: &If<Item>) -> TokenStream {
        let (if_token, condition, then) =
            (&node.keyword, &node.condition, self.scope(&node.then.nodes, false));
        let otherwise = node.otherwise.as_ref().map(|(else_token, otherwise)| match otherwise {
            Else::If(node) => {
                let node = self.item_if(node);
                quote!(#else_token #node)
            }
            Else::Block(block) => {
                let block = self.scope(&block.nodes, false);
                quote!(#else_token { #block })
            }
        });
        quote!(#if_token #condition { #then } #otherwise)
    }

    fn define(&self, item: &Item) -> TokenStream {
        let Some(declaration) = self.names.of_item(item) else {
            return TokenStream::new();
        };
        match &item.definition {
            Definition::Body(block) => self.body(declaration, block),
            Definition::Value(value, semi) => {
                let end = semi.map_or_else(Span::call_site, |semi| semi.span);
                self.value_item(declaration, value, Span::mixed_site().located_at(end))
            }
            Definition::Default | Definition::Missing => TokenStream::new(),
        }
    }

    fn value_item(&self, declaration: &Declaration, value: &Value, span: Span) -> TokenStream {
        let (ident, kind) = (declaration.ident, declaration.item.kind);
        let ident = match self.target {
            Target::Rustc => quote!(#ident),
            Target::Editor => quote!(_),
        };
        let ty = self.kind_at(kind, span);
        let given = if value.is_missing() { super::call::argument(value) } else { quote!(#value) };
        match kind {
            Kind::Cache => {
                let written = self.written(declaration.item);
                let sharing = declaration.item.sharing.as_ref().map(|word| quote!(.#word()));
                quote_spanned!(span=> let #ident = #ty::new(#given) #written #sharing;)
            }
            // A directory of the machine is a builder at first.
            Kind::Dir => {
                let krate = self.krate_at(span);
                quote_spanned!(span=> let #ident: #ty = #krate::IntoDirectory::into_directory(#given);)
            }
            Kind::File | Kind::Secret => quote_spanned!(span=> let #ident: #ty = #given;),
            // By reference: this accepts a `Service`, a `&Service` and the handles of another pipeline alike.
            Kind::Service | Kind::Container => {
                let borrowed = super::call::borrowed(value);
                quote_spanned!(span=> let #ident = #ty::clone(#borrowed);)
            }
        }
    }

    /// Sets the location of a value that a function makes: only a method call can be given a location.
    fn written(&self, item: &Item) -> Option<Tokens> {
        let is_told = self.target == Target::Rustc;
        is_told.then(|| self.method("written_here", TokenStream::new(), item.place()))
    }

    /// The type of a kind of items.
    pub(super) fn kind(&self, kind: Kind) -> &Tokens {
        let [service, container, cache, dir, file, secret] = &self.kinds;
        match kind {
            Kind::Service => service,
            Kind::Container => container,
            Kind::Cache => cache,
            Kind::Dir => dir,
            Kind::File => file,
            Kind::Secret => secret,
        }
    }

    /// The same, spanned at a place of the user's.
    pub(super) fn kind_at(&self, kind: Kind, span: Span) -> TokenStream {
        type_of(&self.krate_at(span), kind, span)
    }
}

pub(super) fn type_of(krate: &Tokens, kind: Kind, span: Span) -> TokenStream {
    match kind {
        Kind::Service => quote_spanned!(span=> #krate::Service),
        Kind::Container => quote_spanned!(span=> #krate::Container),
        Kind::Cache => quote_spanned!(span=> #krate::CacheVolume),
        Kind::Dir => quote_spanned!(span=> #krate::Directory),
        Kind::File => quote_spanned!(span=> #krate::File),
        Kind::Secret => quote_spanned!(span=> #krate::Secret),
    }
}

/// Expands the nodes in the user's order, but delays a node that needs later ones: values that it names, or services and
/// containers that its Rust code queries, as in `web.hostname()`.
fn in_order(nodes: &[Node<Item>], mut expand: impl FnMut(&Node<Item>) -> TokenStream) -> TokenStream {
    let names = Names {
        values: nodes.iter().filter_map(value_name).collect(),
        bodies: nodes.iter().filter_map(body_name).collect(),
    };
    let mut queue = Queue::default();
    let mut code = TokenStream::new();
    for (index, node) in nodes.iter().enumerate() {
        if matches!(node.kind, NodeKind::Let(_)) {
            // A `let` stays in place: it may shadow names for what follows.
            code.extend(expand(node));
            continue;
        }
        let own = value_name(node).or_else(|| body_name(node));
        let mut needs = names.needed(&node.mentions);
        needs.retain(|name| Some(name) != own.as_ref());
        queue.push(index, needs);
        while let Some(ready) = queue.ready.pop_first()
            && let Some(node) = nodes.get(ready)
        {
            code.extend(expand(node));
            if let Some(name) = value_name(node).or_else(|| body_name(node)) {
                queue.is_known(name);
            }
        }
    }
    // Nodes that need each other: for values rustc reports it at the user's tokens, for services and containers the
    // runtime does.
    code.extend(queue.waiting.keys().filter_map(|index| nodes.get(*index)).map(expand));
    code
}

/// Nodes that wait for names, by index.
#[derive(Default)]
struct Queue {
    known: BTreeSet<String>,
    /// How many names each node still waits for.
    waiting: BTreeMap<usize, usize>,
    waiting_for: BTreeMap<String, Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Queue {
    fn push(&mut self, index: usize, mut needs: BTreeSet<String>) {
        needs.retain(|name| !self.known.contains(name));
        if needs.is_empty() {
            self.ready.insert(index);
            return;
        }
        self.waiting.insert(index, needs.len());
        for name in needs {
            self.waiting_for.entry(name).or_default().push(index);
        }
    }

    fn is_known(&mut self, name: String) {
        for index in self.waiting_for.remove(&name).unwrap_or_default() {
            let left = self.waiting.get_mut(&index).map(|left| {
                *left -= 1;
                *left
            });
            if left == Some(0) {
                self.waiting.remove(&index);
                self.ready.insert(index);
            }
        }
        self.known.insert(name);
    }
}

/// The name of an item that exists only once its expression was evaluated.
fn value_name(node: &Node<Item>) -> Option<String> {
    match &node.kind {
        NodeKind::Leaf(Item { name: Some(name), definition: Definition::Value(..), .. }) => {
            Some(name.unraw().to_string())
        }
        _ => None,
    }
}

/// The name of an item with a body: its handle exists from the start, and can be bound, but not yet queried.
fn body_name(node: &Node<Item>) -> Option<String> {
    match &node.kind {
        NodeKind::Leaf(Item { name: Some(name), definition: Definition::Body(_), .. }) => {
            Some(name.unraw().to_string())
        }
        _ => None,
    }
}

/// The names of a scope that nodes may have to wait for.
struct Names {
    values: BTreeSet<String>,
    bodies: BTreeSet<String>,
}

impl Names {
    /// The names that are needed. Too many do no harm: a node waits a little longer.
    fn needed(&self, mentions: &[Mention]) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for mention in mentions {
            if self.values.is_empty() && !mention.is_asked {
                continue;
            }
            let name = mention.ident.unraw().to_string();
            if self.values.contains(&name) || mention.is_asked && self.bodies.contains(&name) {
                needed.insert(name);
            }
        }
        needed
    }
}
