//! Items: `service`, `container`, `cache`, `dir`, `file`, `secret`.

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Token, token};

use super::{Leaf, Parser, Wanted, before, between, foreign};
use crate::ast::{Definition, Foreign, Item, Slot};
use crate::counterparts::{self, Site};
use crate::errors::help;
use crate::keywords::{Kind, SHARING};
use crate::registry::{CACHE_SHARING, FOREIGN_WORD, MISPLACED_ATTRIBUTE, MISSING_BODY, UNKNOWN_ITEM};
use crate::rules::did_you_mean;

impl Leaf for Item {
    const WHAT: &'static str = "an item";
    const HAS_MENTIONS: bool = true;

    fn parse(parser: &mut Parser, input: ParseStream) -> Option<Self> {
        let before_all = parser.errors.len();
        let docs = parser.docs(input);
        // Doc comments may stand before control flow by mistake; they are reported there.
        let keyword = input.fork().call(Ident::parse_any).ok()?;
        if foreign::starts_control(input) {
            parser.misplaced(&docs);
            return None;
        }
        let _ = input.call(Ident::parse_any);
        let Some(kind) = parser.kind(&keyword, input) else {
            Parser::skip_unknown(input);
            parser.unknown = Some(keyword);
            return None;
        };
        let form = form(kind);
        let mut is_marked = parser.colon(input, &keyword, form);
        let named = parser.errors.len();
        let name = parser.name(input, &keyword);
        let has_name = name.is_some();
        is_marked |= name.as_ref().is_some_and(|name| parser.colon(input, name, form));
        if is_marked && !input.peek(token::Brace) && !input.peek(Token![=]) {
            parser.errors.truncate(named.max(before_all + 1));
            Parser::skip_unknown(input);
            return Some(Self {
                id: parser.id(),
                docs,
                keyword,
                kind,
                name,
                sharing: None,
                slots: Vec::new(),
                definition: Definition::Missing,
                complete: false,
            });
        }
        let (sharing, slots) = if kind == Kind::Cache { parser.sharing(input) } else { (None, Vec::new()) };
        let definition = parser.definition(input, kind, has_name || parser.errors.len() == named);
        let complete = parser.errors.len() == before_all;
        Some(Self { id: parser.id(), docs, keyword, kind, name, sharing, slots, definition, complete })
    }
}

impl Parser {
    /// The kind of item that a word starts. A misspelt or foreign word is taken for the one that was meant, so that the
    /// names it declares are known.
    fn kind(&mut self, keyword: &Ident, input: ParseStream) -> Option<Kind> {
        let word = keyword.to_string();
        let known = Kind::of(&word);
        if known.is_some() {
            return known;
        }
        if self.late_signature(keyword) {
            return None;
        }
        let Foreign { text, start, end } = foreign::word(input, keyword);
        let message = format!("cannot find item `{text}` in a pipeline");
        let is_statement = crate::keywords::statement(&text).is_some();
        if let Some(advice) = counterparts::advice(&text, Site::Items).filter(|_| !is_statement) {
            let advice = if input.peek(token::Brace) && counterparts::kind(&text).is_none() {
                format!("{advice}\nnote: {}", item_of(&text))
            } else {
                advice
            };
            self.errors.between(&FOREIGN_WORD, start, end, help(message, advice));
            let is_named = input.peek(syn::Ident);
            let declares = |kind: &Kind| match kind {
                Kind::Cache => input.peek2(Token![;]) || input.peek2(Token![=]),
                _ => input.peek2(Token![=]) || (kind.has_body() && input.peek2(token::Brace)),
            };
            return counterparts::kind(&text).filter(|kind| is_named && declares(kind));
        }
        let near = did_you_mean(&text.to_lowercase(), Kind::ALL.iter().map(|(name, _)| *name));
        let advice = match near {
            Some(near) => format!("an item with a similar name exists: `{near}`"),
            None if is_statement => {
                format!("`{text}` is a statement: it stands in the body of a `service` or `container`")
            }
            None if input.peek(token::Brace) || input.peek(Token![:]) => item_of(&text),
            None => "the items are `service`, `container`, `cache`, `dir`, `file` and `secret`".to_owned(),
        };
        self.errors.between(&UNKNOWN_ITEM, start, end, help(message, advice));
        near.and_then(Kind::of)
    }

    /// How a cache is shared: a word behind its name, before its key.
    fn sharing(&mut self, input: ParseStream) -> (Option<Ident>, Vec<Slot>) {
        let is_word = input.peek(syn::Ident) && (input.peek2(Token![;]) || input.peek2(Token![=]));
        if !is_word {
            return (None, Vec::new());
        }
        self.slots.clear();
        let word = self.slot(input, &SHARING);
        if word.is_none() {
            self.stray(input);
            if let Ok(stray) = input.parse::<Ident>() {
                let message = format!("a cache is `locked` or `private`, and not `{stray}`");
                let advice = match did_you_mean(&stray.to_string(), SHARING.words.iter().copied()) {
                    Some(near) => format!("a similar word exists: `{near}`"),
                    None => "without a word all that use it share it".to_owned(),
                };
                self.errors.at(&CACHE_SHARING, stray.span(), help(message, advice));
            }
        }
        (word, std::mem::take(&mut self.slots))
    }

    fn definition(&mut self, input: ParseStream, kind: Kind, has_name: bool) -> Definition {
        if kind.has_body() && input.peek(token::Brace) {
            return Definition::Body(self.block(input));
        }
        if input.parse::<Token![=]>().is_ok() {
            let reported = self.errors.len();
            let (what, form) = example(kind);
            self.wanted = Some(Wanted { what, after: "=".to_owned(), form });
            let value = self.value(input);
            self.wanted = None;
            let semi = self.semicolon(input, self.errors.len() > reported, &[]);
            return Definition::Value(value, semi);
        }
        if kind == Kind::Cache {
            self.semicolon(input, !has_name, &["="]);
            return Definition::Default;
        }
        if has_name {
            let wanted = if kind.has_body() { "`{ ... }`" } else { "`= ...;`" };
            self.errors.at(&MISSING_BODY, before(input), format!("expected {wanted} after the name"));
        }
        Self::skip_unknown(input);
        Definition::Missing
    }

    /// Doc comments. Everything else is reported and dropped.
    pub(super) fn docs(&mut self, input: ParseStream) -> Vec<Attribute> {
        let (docs, others): (Vec<_>, Vec<_>) =
            self.attributes(input).into_iter().partition(|attribute| attribute.path().is_ident("doc"));
        self.misplaced(&others);
        docs
    }

    pub(super) fn attributes(&mut self, input: ParseStream) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        while input.peek(Token![#]) {
            let start = input.fork();
            let _ = input.parse::<Token![#]>();
            if input.peek(token::Bracket) {
                let _ = input.parse::<TokenTree>();
            }
            // Separately, because syn notices leftovers in brackets only at the end of an input.
            let tokens = between(&start, input);
            match Attribute::parse_outer.parse2(tokens.clone()) {
                Ok(parsed) => attributes.extend(parsed),
                Err(error) => self.report(&error, &tokens, before(input)),
            }
        }
        attributes
    }

    pub(super) fn misplaced(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let message = if attribute.path().is_ident("doc") {
                help("a doc comment belongs to an item", "use `//`")
            } else {
                help("attributes are not allowed here", "items take doc comments, `/// ...`")
            };
            self.errors.on(&MISPLACED_ATTRIBUTE, attribute, message);
        }
    }
}

/// What follows the `=` of an item, and an example of such an item.
fn example(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Service => ("a service", "service db = shared;"),
        Kind::Container => ("a container", "container base = shared;"),
        Kind::Cache => ("a key", "cache data = \"key\";"),
        Kind::Dir => ("a directory", "dir source = host(\"./src\");"),
        Kind::File => ("a file", "file app = other.file(\"/path\");"),
        Kind::Secret => ("a secret", "secret token = secret::env(\"TOKEN\");"),
    }
}

/// How an item is declared whose name stands where its kind should.
fn item_of(name: &str) -> String {
    let name = name.replace('-', "_");
    format!("an item of that name is `service {name} {{ ... }}` or `container {name} {{ ... }}`")
}

/// An example of a declaration.
fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service db { ... }",
        Kind::Container => "container test { ... }",
        Kind::Cache => "cache data;",
        Kind::Dir | Kind::File | Kind::Secret => example(kind).1,
    }
}
