//! The shadow: code from which an editor completes, explains and follows words; one path for each word that the user
//! typed.
//!
//! rust-analyzer maps the token under the cursor to every token of the expansion with the same span. To complete, it
//! inserts a marker at the cursor, expands again, and looks at the first token with the marker in it, at the same offset
//! as in the expansion without the marker. So the shadow is first in the expansion, in the order of the source, with the
//! same shape whether a statement is complete or half typed; and the part that grows with every name (the modules of
//! names) is last in it. Only `__pipeline_ide` emits it: rustc never sees a token of it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use crate::ast::{Block, Definition, Else, If, Item, Node, NodeKind, Operand, Pipeline, Probe};
use crate::ast::{Slot, Statement, StatementKind};
use crate::keywords::Kind;
use crate::names::Names;

/// Code for the editor besides the normal expansion.
pub(crate) struct Shadow {
    /// Words and names, then the modules in which they are found.
    pub(crate) paths: TokenStream,
    /// Names that lead to a field of the handles struct.
    pub(crate) uses: Vec<Ident>,
}

pub(crate) fn shadow(krate: &TokenStream, pipeline: &Pipeline, names: &Names) -> Shadow {
    let mut writer = Writer {
        krate,
        names,
        paths: TokenStream::new(),
        ports: TokenStream::new(),
        services: 0,
        uses: Vec::new(),
    };
    writer.items(&pipeline.nodes);
    // Names in Rust expressions: `web.hostname()` and `&web`. Other identifiers may be unrelated and only have the same
    // text.
    let mentions = pipeline.nodes.iter().flat_map(|node| &node.mentions);
    let asked = mentions.filter(|mention| mention.is_asked && !mention.is_member);
    writer.uses.extend(asked.map(|mention| mention.ident.clone()));
    let Writer { mut paths, ports, mut uses, .. } = writer;
    paths.extend(modules(krate, names));
    paths.extend(ports);
    uses.retain(|ident| names.declared(&ident.unraw().to_string()).is_some());
    Shadow { paths, uses }
}

/// The module of the shadow in which a name is looked up; it has only names that fit.
fn module_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "services",
        Kind::Container => "containers",
        Kind::Dir | Kind::File => "files",
        Kind::Cache | Kind::Secret => "values",
    }
}

/// The modules, inside one module: `super` of a module in a block is not the block.
fn modules(krate: &TokenStream, names: &Names) -> TokenStream {
    let module = |wanted: Kind| {
        let name = format_ident!("{}", module_of(wanted));
        let found = names.declarations.iter().filter(|found| module_of(found.item.kind) == module_of(wanted));
        let names = found.map(|found| {
            let (docs, ident) = (&found.item.docs, unseen(found.ident));
            let ty = format_ident!("{}", type_of(found.item.kind));
            quote!(#(#docs)* pub safe static #ident: #krate::#ty;)
        });
        // Files are mounted too.
        let others = (wanted == Kind::Cache).then(|| {
            quote!(
                pub use super::files::*;
            )
        });
        quote!(pub mod #name { #others unsafe extern { #(#names)* } })
    };
    let modules = [Kind::Service, Kind::Container, Kind::Dir, Kind::Cache].into_iter().map(module);
    quote!(#[allow(non_upper_case_globals)] mod __names { #(#modules)* })
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "Service",
        Kind::Container => "Container",
        Kind::Cache => "CacheVolume",
        Kind::Dir => "Directory",
        Kind::File => "File",
        Kind::Secret => "Secret",
    }
}

struct Writer<'a> {
    krate: &'a TokenStream,
    names: &'a Names<'a>,
    paths: TokenStream,
    /// The module with the ports of each service.
    ports: TokenStream,
    services: usize,
    uses: Vec<Ident>,
}

/// The context of a list: items, or statements of a kind of body. `ports` is the module of the service's ports.
#[derive(Clone)]
struct Context {
    words: &'static str,
    ports: Ident,
}

trait Written: Sized {
    fn write(&self, writer: &mut Writer, context: &Context);
}

impl Written for Item {
    fn write(&self, writer: &mut Writer, context: &Context) {
        writer.word(context.words, &self.keyword);
        for slot in &self.slots {
            writer.slot(slot);
        }
        if let Definition::Body(body) = &self.definition {
            writer.body(self.kind, body);
        }
    }
}

impl Written for Statement {
    fn write(&self, writer: &mut Writer, context: &Context) {
        writer.word(context.words, &self.keyword);
        match &self.kind {
            StatementKind::Bind { service, .. } => writer.name(module_of(Kind::Service), service),
            StatementKind::From(other) | StatementKind::After(other) => {
                writer.name(module_of(Kind::Container), other);
            }
            StatementKind::Mount { source, .. } => writer.name(module_of(Kind::Cache), source),
            StatementKind::Copy { source, .. } => writer.name(module_of(Kind::Dir), source),
            StatementKind::Ready(ready) => {
                match &ready.word {
                    Some(word) => writer.word("ready", word),
                    None => writer.end("ready"),
                }
                let ports = &context.ports;
                match &ready.probe {
                    Probe::Http { on: Some(Operand::Name(port)), .. } => {
                        writer.paths.extend(quote!(#ports::#port;));
                    }
                    Probe::Http { on: Some(Operand::Value(port)), .. } if port.is_missing() => {
                        writer.paths.extend(quote!(#ports::__end;));
                    }
                    _ => {}
                }
            }
            StatementKind::Expose(expose) => {
                if let Some(port) = &expose.name {
                    writer.ports.extend(quote!(pub struct #port;));
                }
            }
            _ => {}
        }
        for slot in &self.slots {
            writer.slot(slot);
        }
    }
}

impl Writer<'_> {
    fn items(&mut self, nodes: &[Node<Item>]) {
        let context = Context { words: "item", ports: format_ident!("__ports") };
        self.list(nodes, &context);
    }

    fn body(&mut self, kind: Kind, body: &Block<Statement>) {
        let words = if kind == Kind::Service { "service" } else { "container" };
        self.services += 1;
        let ports = format_ident!("__ports_{}", self.services);
        let others = std::mem::take(&mut self.ports);
        self.list(&body.nodes, &Context { words, ports: ports.clone() });
        let own = std::mem::replace(&mut self.ports, others);
        if !own.is_empty() {
            self.ports.extend(quote!(#[allow(non_camel_case_types)] mod #ports { #own }));
        }
    }

    /// The words of a list, and an end, so that completion works where there is nothing yet.
    fn list<T: Written>(&mut self, nodes: &[Node<T>], context: &Context) {
        for node in nodes {
            match &node.kind {
                NodeKind::Leaf(leaf) => leaf.write(self, context),
                NodeKind::Unknown(word) => self.word(context.words, word),
                NodeKind::Let(_) => {}
                NodeKind::If(node) => self.branches(node, context),
                NodeKind::For(node) => self.list(&node.body.nodes, context),
                NodeKind::Match(node) => {
                    for arm in &node.arms {
                        self.list(&arm.body.nodes, context);
                    }
                }
            }
        }
        self.end(context.words);
    }

    fn branches<T: Written>(&mut self, node: &If<T>, context: &Context) {
        self.list(&node.then.nodes, context);
        match &node.otherwise {
            Some((_, Else::If(node))) => self.branches(node, context),
            Some((_, Else::Block(block))) => self.list(&block.nodes, context),
            None => {}
        }
    }

    /// `use … as _`, because there an editor inserts the bare word; for a path to a function it would add `(…)`.
    fn word(&mut self, context: &str, word: &Ident) {
        // Rust's keywords cannot be part of a path.
        if is_rusts(word) {
            return;
        }
        let (krate, context) = (self.krate, format_ident!("{}", context));
        self.paths.extend(quote!(use #krate::language::#context::#word as _;));
    }

    fn end(&mut self, context: &str) {
        self.word(context, &format_ident!("__end"));
    }

    /// A word in a statement; if it is missing, the words that may stand there.
    fn slot(&mut self, slot: &Slot) {
        let (krate, module) = (self.krate, format_ident!("{}", slot.words.module));
        let word = match &slot.word {
            // Rust's keywords: of these only ours can be part of a path, and only as raw identifiers.
            Some(word) if slot.words.words.iter().any(|known| word == known) => as_raw(word),
            Some(word) if !is_rusts(word) => word.clone(),
            _ => format_ident!("__end"),
        };
        self.paths.extend(quote!(use #krate::language::next::#module::#word as _;));
    }

    fn name(&mut self, module: &str, operand: &Operand) {
        let module = format_ident!("{}", module);
        match operand {
            Operand::Name(name) => {
                // A half-typed name is completed here; a known name leads only to its field.
                let is_known = self.names.declared(&name.unraw().to_string()).is_some();
                let shown = if is_known { unseen(name) } else { name.clone() };
                self.paths.extend(quote!(__names::#module::#shown;));
                self.uses.push(name.clone());
            }
            Operand::Value(value) if value.is_missing() => {
                self.paths.extend(quote!(__names::#module::__end;));
            }
            Operand::Value(_) => {}
        }
    }
}

/// The same word, spanned at nothing that the user typed.
fn unseen(name: &Ident) -> Ident {
    let mut name = name.clone();
    name.set_span(Span::mixed_site());
    name
}

fn is_rusts(word: &Ident) -> bool {
    syn::parse_str::<Ident>(&word.to_string()).is_err()
}

fn as_raw(word: &Ident) -> Ident {
    if is_rusts(word) { Ident::new_raw(&word.to_string(), word.span()) } else { word.clone() }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;
