//! Name resolution: scopes, declarations, and the statements of every body with their places.
//!
//! Names are lexically scoped and independent of order: an item is known in its whole scope and everything inside it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Expr, LitInt, Pat};

use crate::ast::{
    Block, Definition, Else, Header, If, Item, Let, Node, NodeKind, Pattern, Pipeline, Statement, Value,
};
use crate::errors::{Errors, help};
use crate::keywords::Kind;
use crate::registry::{DUPLICATE_NAME, HIDDEN_BY_LET, PARAMETER_NAME_TAKEN};

pub(crate) type ScopeId = usize;

/// The control flow around an item or statement, outermost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Identifies the `if`, `for` or `match`.
    node: usize,
    branch: usize,
    word: &'static str,
}

impl Place {
    fn inside(&self, node: usize, branch: usize, word: &'static str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step { node, branch, word });
        Self(steps)
    }

    pub(crate) fn is_certain(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_repeated(&self) -> bool {
        self.0.iter().any(|step| step.word == "for")
    }

    /// The keyword of the innermost control flow that determines the result: a `for` gives a list whatever is inside.
    pub(crate) fn word(&self) -> Option<&'static str> {
        if self.is_repeated() { Some("for") } else { self.0.last().map(|step| step.word) }
    }

    /// Whether one of the two always runs together with the other.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }

    /// Whether the two never both run: they are in different branches of one `if` or `match`.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.node == b.node && a.branch != b.branch))
    }
}

pub(crate) struct Declaration<'a> {
    /// Its index in the list of all declarations.
    pub(crate) index: usize,
    pub(crate) item: &'a Item,
    pub(crate) ident: &'a Ident,
    /// Without `r#`.
    pub(crate) name: String,
    pub(crate) place: Place,
}

#[derive(Default)]
struct Scope {
    parent: Option<ScopeId>,
    items: BTreeMap<String, usize>,
    locals: BTreeSet<String>,
}

/// A statement and its place in its body.
pub(crate) struct Placed<'a> {
    pub(crate) statement: &'a Statement,
    pub(crate) place: Place,
    pub(crate) scope: ScopeId,
    /// Whether the parser understood it completely and it is allowed in this kind of body.
    pub(crate) is_understood: bool,
}

/// The statements of a service or container, in source order, at any depth.
pub(crate) struct Body<'a> {
    pub(crate) declaration: usize,
    pub(crate) statements: Vec<Placed<'a>>,
}

/// The meaning of a name at some place.
pub(crate) enum Meaning<'n, 'a> {
    Item(&'n Declaration<'a>),
    /// A variable of a surrounding `let`, `for`, `if let` or `match`.
    Local,
    /// An item that is not in scope here.
    Elsewhere(&'n Declaration<'a>),
    Unknown,
}

pub(crate) struct Names<'a> {
    /// In source order.
    pub(crate) declarations: Vec<Declaration<'a>>,
    pub(crate) bodies: Vec<Body<'a>>,
    /// Calls that ask a service for the endpoint of a port.
    pub(crate) endpoints: Vec<(&'a Ident, &'a LitInt)>,
    /// How often each identifier occurs in the items; the declaration of a name counts once.
    words: BTreeMap<String, usize>,
    scopes: Vec<Scope>,
    /// Indexes by item, by name, and by statement: a pipeline may be long.
    declaration_of: BTreeMap<usize, usize>,
    body_of: BTreeMap<usize, usize>,
    named: BTreeMap<String, usize>,
    scope_of: BTreeMap<usize, ScopeId>,
    next_node: usize,
    variables: Vec<(Ident, ScopeId)>,
}

impl<'a> Names<'a> {
    pub(crate) fn collect(pipeline: &'a Pipeline, errors: &mut Errors) -> Self {
        let mut names = Names {
            declarations: Vec::new(),
            bodies: Vec::new(),
            endpoints: Vec::new(),
            words: BTreeMap::new(),
            scopes: vec![Scope::default()],
            declaration_of: BTreeMap::new(),
            body_of: BTreeMap::new(),
            named: BTreeMap::new(),
            scope_of: BTreeMap::new(),
            next_node: 0,
            variables: Vec::new(),
        };
        let parameters: Vec<&Ident> =
            pipeline.form.header().into_iter().flat_map(Header::parameters).flat_map(variables).collect();
        if let Some(scope) = names.scopes.first_mut() {
            scope.locals.extend(parameters.iter().map(|ident| ident.unraw().to_string()));
        }
        let mentions = pipeline.nodes.iter().flat_map(|node| &node.mentions);
        let asked = mentions.filter(|mention| !mention.is_member);
        names.endpoints.extend(asked.filter_map(|mention| Some((&mention.ident, mention.port.as_ref()?))));
        for mention in pipeline.nodes.iter().flat_map(|node| &node.mentions) {
            *names.words.entry(mention.ident.unraw().to_string()).or_default() += 1;
        }
        names.items(&pipeline.nodes, &Place::default(), 0, errors);
        names.check_hidden(errors);
        names.check_parameters(&parameters, errors);
        names
    }

    pub(crate) fn meaning(&self, name: &str, scope: ScopeId) -> Meaning<'_, 'a> {
        let mut at = Some(scope);
        while let Some(scope) = at.and_then(|id| self.scopes.get(id)) {
            if let Some(declaration) = scope.items.get(name).and_then(|id| self.declarations.get(*id)) {
                return Meaning::Item(declaration);
            }
            if scope.locals.contains(name) {
                return Meaning::Local;
            }
            at = scope.parent;
        }
        match self.declared(name) {
            Some(declaration) => Meaning::Elsewhere(declaration),
            None => Meaning::Unknown,
        }
    }

    /// Every item that is visible in a scope.
    pub(crate) fn visible(&self, scope: ScopeId) -> Vec<&Declaration<'a>> {
        self.declarations
            .iter()
            .filter(|declaration| matches!(self.meaning(&declaration.name, scope), Meaning::Item(_)))
            .collect()
    }

    /// The declaration of an item, unless its name was already taken.
    pub(crate) fn of_item(&self, item: &Item) -> Option<&Declaration<'a>> {
        self.declarations.get(*self.declaration_of.get(&item.id)?)
    }

    pub(crate) fn body_of(&self, item: &Item) -> Option<&Body<'a>> {
        self.bodies.get(*self.body_of.get(&item.id)?)
    }

    pub(crate) fn declared(&self, name: &str) -> Option<&Declaration<'a>> {
        self.declarations.get(*self.named.get(name)?)
    }

    /// Whether a name occurs anywhere besides its declaration. The occurrence may be unrelated and only have the same
    /// text.
    pub(crate) fn is_mentioned(&self, name: &str) -> bool {
        self.words.get(name).is_some_and(|times| *times > 1)
    }

    pub(crate) fn scope_of(&self, statement: &Statement) -> Option<ScopeId> {
        self.scope_of.get(&statement.id).copied()
    }

    fn scope(&mut self, parent: ScopeId) -> ScopeId {
        self.scopes.push(Scope { parent: Some(parent), ..Scope::default() });
        self.scopes.len() - 1
    }

    fn items(&mut self, nodes: &'a [Node<Item>], place: &Place, scope: ScopeId, errors: &mut Errors) {
        self.walk(nodes, place, scope, &mut |names, item, place, scope| {
            names.declare(item, place, scope, errors);
        });
    }

    /// Visits all leaves, with the scope of every block and the place of every branch.
    fn walk<T>(&mut self, nodes: &'a [Node<T>], place: &Place, scope: ScopeId, leaf: &mut Visit<'_, 'a, T>) {
        for node in nodes {
            match &node.kind {
                NodeKind::Leaf(found) => leaf(self, found, place, scope),
                NodeKind::Let(Let::Local(local)) => self.variables_of(&local.pat, scope),
                NodeKind::Let(Let::Partial) | NodeKind::Unknown(_) => {}
                NodeKind::If(node) => {
                    let id = self.node();
                    self.walk_if(node, (id, 0), place, scope, leaf);
                }
                NodeKind::For(node) => {
                    let place = place.inside(self.node(), 0, "for");
                    let inner = self.scope(scope);
                    self.pattern(&node.pattern, inner);
                    self.walk(&node.body.nodes, &place, inner, leaf);
                }
                NodeKind::Match(node) => {
                    let id = self.node();
                    for (branch, arm) in node.arms.iter().enumerate() {
                        let inner = self.scope(scope);
                        self.pattern(&arm.pattern, inner);
                        if let Some((_, guard)) = &arm.guard {
                            self.condition(guard, inner);
                        }
                        self.walk(&arm.body.nodes, &place.inside(id, branch, "match"), inner, leaf);
                    }
                }
            }
        }
    }

    /// An `else if` is another branch of the same `if`.
    fn walk_if<T>(
        &mut self,
        node: &'a If<T>,
        (id, branch): (usize, usize),
        place: &Place,
        scope: ScopeId,
        leaf: &mut Visit<'_, 'a, T>,
    ) {
        let inner = self.scope(scope);
        self.condition(&node.condition, inner);
        self.walk(&node.then.nodes, &place.inside(id, branch, "if"), inner, leaf);
        match &node.otherwise {
            Some((_, Else::If(node))) => self.walk_if(node, (id, branch + 1), place, scope, leaf),
            Some((_, Else::Block(block))) => {
                let inner = self.scope(scope);
                self.walk(&block.nodes, &place.inside(id, branch + 1, "if"), inner, leaf);
            }
            None => {}
        }
    }

    fn node(&mut self) -> usize {
        self.next_node += 1;
        self.next_node
    }

    fn declare(&mut self, item: &'a Item, place: &Place, scope: ScopeId, errors: &mut Errors) {
        let Some(ident) = &item.name else {
            return;
        };
        let name = ident.unraw().to_string();
        if let Some(first) = self.declared(&name) {
            let kind = first.item.kind.noun();
            let at = errors.line(first.ident.span());
            let at = at.map_or_else(|| format!("as a {kind}"), |line| format!("on line {line}"));
            let advice = if first.place.excludes(place) {
                format!("first declared {at}; declare it once, `if` and `match` may stand inside its body")
            } else {
                format!("first declared {at}")
            };
            errors.at(
                &DUPLICATE_NAME,
                ident.span(),
                help(format!("the name `{name}` is declared twice"), advice),
            );
            return;
        }
        let id = self.declarations.len();
        self.declaration_of.insert(item.id, id);
        self.named.insert(name.clone(), id);
        self.declarations.push(Declaration {
            index: id,
            item,
            ident,
            name: name.clone(),
            place: place.clone(),
        });
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.items.insert(name, id);
        }
        if let Definition::Body(block) = &item.definition {
            let statements = self.statements(item.kind, block, scope);
            self.body_of.insert(item.id, self.bodies.len());
            self.bodies.push(Body { declaration: id, statements });
        }
    }

    fn statements(&mut self, kind: Kind, block: &'a Block<Statement>, scope: ScopeId) -> Vec<Placed<'a>> {
        let mut statements = Vec::new();
        let inner = self.scope(scope);
        self.walk(&block.nodes, &Place::default(), inner, &mut |names, statement, place, scope| {
            names.scope_of.insert(statement.id, scope);
            let is_understood = statement.complete && statement.word.is_some_and(|word| word.fits(kind));
            statements.push(Placed { statement, place: place.clone(), scope, is_understood });
        });
        statements
    }

    fn pattern(&mut self, pattern: &Pattern, scope: ScopeId) {
        if let Pattern::Pat(pat) = pattern {
            self.variables_of(pat, scope);
        }
    }

    /// The variables that `if let` binds, including in a chain.
    fn condition(&mut self, condition: &Value, scope: ScopeId) {
        let mut pending: Vec<&Expr> = condition.expr().into_iter().collect();
        while let Some(expr) = pending.pop() {
            match expr {
                Expr::Let(expr) => self.variables_of(&expr.pat, scope),
                Expr::Binary(expr) => pending.extend([&*expr.left, &*expr.right]),
                _ => {}
            }
        }
    }

    fn variables_of(&mut self, pat: &Pat, scope: ScopeId) {
        for ident in variables(pat) {
            if let Some(scope) = self.scopes.get_mut(scope) {
                scope.locals.insert(ident.unraw().to_string());
            }
            self.variables.push((ident.clone(), scope));
        }
    }

    /// Checked last, because an item may be declared after the variable.
    fn check_hidden(&self, errors: &mut Errors) {
        for (ident, scope) in &self.variables {
            let name = ident.unraw().to_string();
            let mut at = Some(*scope);
            while let Some(scope) = at.and_then(|id| self.scopes.get(id)) {
                if let Some(declaration) = scope.items.get(&name).and_then(|id| self.declarations.get(*id)) {
                    let message = format!("this hides {} `{name}`", declaration.item.kind.noun());
                    let at = errors.line(declaration.ident.span());
                    let at = at.map(|line| format!("declared on line {line}; ")).unwrap_or_default();
                    errors.at(&HIDDEN_BY_LET, ident.span(), help(message, at + "choose another name"));
                    break;
                }
                at = scope.parent;
            }
        }
    }

    /// An import may use a parameter under its own name, `service db = db;`; any other item would hide the parameter.
    fn check_parameters(&self, parameters: &[&Ident], errors: &mut Errors) {
        for ident in parameters {
            let name = ident.unraw().to_string();
            let Some(declaration) = self.declared(&name) else {
                continue;
            };
            if declaration.place.is_certain() && matches!(declaration.item.definition, Definition::Value(..))
            {
                continue;
            }
            let kind = declaration.item.kind.noun();
            let message = format!("{kind} `{name}` has the name of a parameter");
            let at = errors.line(ident.span());
            let at = at.map(|line| format!("the parameter is on line {line}; ")).unwrap_or_default();
            let message = help(message, at + "rename one of the two");
            errors.at(&PARAMETER_NAME_TAKEN, declaration.ident.span(), message);
        }
    }
}

type Visit<'f, 'a, T> = dyn FnMut(&mut Names<'a>, &'a T, &Place, ScopeId) + 'f;

fn variables(pat: &Pat) -> Vec<&Ident> {
    let mut found = Vec::new();
    bound_by(pat, &mut found);
    found
}

/// The names that a pattern binds. A constant or unit variant looks the same; that only makes an error message less
/// helpful.
fn bound_by<'p>(pat: &'p Pat, found: &mut Vec<&'p Ident>) {
    match pat {
        Pat::Ident(pat) => {
            found.push(&pat.ident);
            if let Some((_, inner)) = &pat.subpat {
                bound_by(inner, found);
            }
        }
        Pat::Guard(pat) => bound_by(&pat.pat, found),
        Pat::Or(pat) => pat.cases.iter().for_each(|case| bound_by(case, found)),
        Pat::Paren(pat) => bound_by(&pat.pat, found),
        Pat::Reference(pat) => bound_by(&pat.pat, found),
        Pat::Slice(pat) => pat.elems.iter().for_each(|element| bound_by(element, found)),
        Pat::Struct(pat) => pat.fields.iter().for_each(|field| bound_by(&field.pat, found)),
        Pat::Tuple(pat) => pat.elems.iter().for_each(|element| bound_by(element, found)),
        Pat::TupleStruct(pat) => pat.elems.iter().for_each(|element| bound_by(element, found)),
        Pat::Type(pat) => bound_by(&pat.pat, found),
        _ => {}
    }
}
