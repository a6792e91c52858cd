//! The extras of an item beyond a plain handle: named ports and exports, which become methods.

use std::collections::BTreeMap;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::LitStr;
use syn::ext::IdentExt;

use super::{Cx, local};
use crate::ast::{Operand, Place, StatementKind};
use crate::errors::Errors;
use crate::names::{Declaration, Names};

pub(super) struct Extras<'a> {
    pub(super) ports: Vec<NamedPort<'a>>,
    /// The TCP ports in the type: those that are literals and not inside an `if`.
    pub(super) typed: BTreeMap<u16, Span>,
    pub(super) exports: Vec<Export<'a>>,
}

pub(super) struct NamedPort<'a> {
    pub(super) ident: &'a Ident,
    pub(super) name: String,
    /// Whether the port always exists, as it is not under control flow.
    pub(super) is_certain: bool,
}

pub(super) struct Export<'a> {
    pub(super) ident: &'a Ident,
    /// Whether its path ends in `/` and so is a directory, by the convention of rsync and COPY.
    pub(super) is_directory: bool,
    pub(super) is_certain: bool,
    pub(super) path: &'a Operand,
    /// The variable that stores a path known only at run time.
    pub(super) slot: Option<Ident>,
    /// Several if they are in branches that exclude each other.
    pub(super) statements: Vec<usize>,
    /// The place of the first of them.
    pub(super) place: Place,
}

impl Extras<'_> {
    const NONE: Self = Self { ports: Vec::new(), typed: BTreeMap::new(), exports: Vec::new() };

    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.exports.is_empty()
    }

    /// The variables of paths known only at run time, in the order of the newtype's fields.
    pub(super) fn stored(&self) -> Vec<&Ident> {
        self.exports.iter().filter_map(|export| export.slot.as_ref()).collect()
    }

    pub(super) fn declare(&self) -> TokenStream {
        let slots = self.exports.iter().filter_map(|export| {
            let slot = export.slot.as_ref()?;
            Some(if export.is_certain {
                quote!(let #slot;)
            } else {
                quote!(let mut #slot = ::core::option::Option::None;)
            })
        });
        quote!(#(#slots)*)
    }
}

impl<'a> Cx<'a> {
    pub(super) fn extras_of(&self, declaration: &Declaration) -> &Extras<'a> {
        self.extras.get(declaration.index).unwrap_or(const { &Extras::NONE })
    }
}

pub(super) fn extras<'a>(names: &'a Names<'a>, errors: &Errors, declaration: &Declaration) -> Extras<'a> {
    let mut extras = Extras::NONE;
    let Some(body) = names.body_of(declaration.item) else {
        return extras;
    };
    for placed in &body.statements {
        let statement = placed.statement;
        if errors.is_left_out(statement.id) {
            continue;
        }
        let is_certain = placed.place.is_certain();
        match &statement.kind {
            StatementKind::Expose(expose) => {
                if is_certain
                    && !expose.is_udp()
                    && let Some((port, span)) = expose.literal()
                {
                    extras.typed.entry(port).or_insert(span);
                }
                let Some(ident) = &expose.name else {
                    continue;
                };
                let name = ident.unraw().to_string();
                match extras.ports.iter_mut().find(|port| port.name == name) {
                    Some(port) => port.is_certain |= is_certain,
                    None => extras.ports.push(NamedPort { ident, name, is_certain }),
                }
            }
            StatementKind::Export { path, name: Some(ident) } => {
                if let Some(export) = extras.exports.iter_mut().find(|export| export.ident == ident) {
                    export.statements.push(statement.id);
                    continue;
                }
                let text = path.text().map(LitStr::value);
                let stored = !is_certain || text.is_none();
                let slot = format!("path_{}_{}", ident.unraw(), declaration.item.id);
                extras.exports.push(Export {
                    ident,
                    is_directory: text.is_some_and(|text| text.ends_with('/')),
                    is_certain,
                    path,
                    slot: stored.then(|| local(&slot)),
                    statements: vec![statement.id],
                    place: statement.place(),
                });
            }
            _ => {}
        }
    }
    extras
}
