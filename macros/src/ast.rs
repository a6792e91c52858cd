//! The syntax tree: what the user wrote, token by token, with nothing resolved.
//!
//! Nodes keep their keywords, names and `;` because errors are reported there, and because the editor (which sees
//! half-typed input) follows the spans of these very tokens.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, ExprUnary, FnArg, Lit, LitInt, LitStr, Local, Pat, Signature, Token, UnOp,
    Visibility,
};

use crate::keywords::{Call, Keyword, Kind, Words};

/// One macro call.
pub(crate) struct Pipeline {
    /// The path of the runtime crate, which precedes the first `;`.
    pub(crate) krate: TokenStream,
    pub(crate) form: Form,
    pub(crate) nodes: Vec<Node<Item>>,
    /// Whether the parser reported no error at all.
    pub(crate) complete: bool,
}

/// How a pipeline fits into the program around it.
pub(crate) enum Form {
    Expression,
    /// A function that returns it, with a struct whose name the user chose.
    Item(Box<Header>),
    /// The signature was wrong, and was reported.
    Broken,
}

/// `/// docs` and `pub fn ci(version: &str) -> Ci;`
pub(crate) struct Header {
    /// Doc comments and lints.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The parameters as they are written: with what makes them flags of a command line, which rustc must not see.
    pub(crate) flags: Punctuated<FnArg, Token![,]>,
    /// The name of the struct with the handles.
    pub(crate) name: Ident,
    pub(crate) outcome: Outcome,
}

/// How the function returns the struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Plain,
    Ok,
    Some,
}

/// An element of a list: an item or a statement, or Rust's control flow around more of them.
pub(crate) struct Node<T> {
    /// The identifiers in it, which may name other items. Only items have these, as statements are inside one.
    pub(crate) mentions: Vec<Mention>,
    pub(crate) kind: NodeKind<T>,
}

/// An identifier somewhere in an item: the name of another item, or an unrelated identifier with the same text.
pub(crate) struct Mention {
    pub(crate) ident: Ident,
    /// Whether Rust code looks inside the item, as in `web.hostname()` and `&web`; `bind web` needs the handle only.
    pub(crate) is_asked: bool,
    /// Whether it is a member, as in `x.web`, and so no name of the pipeline.
    pub(crate) is_member: bool,
    /// The port in `web.endpoint_on(80)`.
    pub(crate) port: Option<LitInt>,
}

pub(crate) enum NodeKind<T> {
    Leaf(T),
    /// A word that starts nothing: reported by the parser, and kept for the editor's completion.
    Unknown(Ident),
    Let(Let),
    If(Box<If<T>>),
    For(Box<For<T>>),
    Match(Box<Match<T>>),
}

pub(crate) enum Let {
    Local(Box<Local>),
    /// Not valid Rust yet: reported by the parser; the node has its tokens.
    Partial,
}

pub(crate) struct If<T> {
    pub(crate) keyword: Token![if],
    pub(crate) condition: Value,
    pub(crate) then: Block<T>,
    pub(crate) otherwise: Option<(Token![else], Else<T>)>,
}

pub(crate) enum Else<T> {
    Block(Block<T>),
    If(Box<If<T>>),
}

pub(crate) struct For<T> {
    pub(crate) keyword: Token![for],
    pub(crate) pattern: Pattern,
    pub(crate) in_token: Option<Token![in]>,
    pub(crate) iterator: Value,
    pub(crate) body: Block<T>,
}

pub(crate) struct Match<T> {
    pub(crate) keyword: Token![match],
    pub(crate) scrutinee: Value,
    pub(crate) arms: Vec<Arm<T>>,
}

pub(crate) struct Arm<T> {
    pub(crate) pattern: Pattern,
    pub(crate) guard: Option<(Token![if], Value)>,
    pub(crate) body: Block<T>,
}

pub(crate) struct Block<T> {
    pub(crate) nodes: Vec<Node<T>>,
}

pub(crate) enum Pattern {
    Pat(Pat),
    Partial(TokenStream),
}

/// A Rust expression, or tokens that are not one yet.
pub(crate) enum Value {
    Expr(Box<Expr>),
    Partial(TokenStream),
}

/// The operand before a joining word: a name, or a literal or parenthesised Rust expression.
pub(crate) enum Operand {
    Name(Ident),
    Value(Value),
}

pub(crate) struct Item {
    pub(crate) id: usize,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) keyword: Ident,
    pub(crate) kind: Kind,
    pub(crate) name: Option<Ident>,
    /// `locked` or `private`, of a cache.
    pub(crate) sharing: Option<Ident>,
    /// The places for words in it.
    pub(crate) slots: Vec<Slot>,
    pub(crate) definition: Definition,
    /// Whether the parser reported no error in it: only then may something be reported as missing.
    pub(crate) complete: bool,
}

pub(crate) enum Definition {
    /// `service x { … }`
    Body(Block<Statement>),
    /// `dir x = …;`, and an import: `service x = …;`
    Value(Value, Option<Token![;]>),
    /// `cache x;`
    Default,
    /// Reported by the parser.
    Missing,
}

pub(crate) struct Statement {
    pub(crate) id: usize,
    pub(crate) keyword: Ident,
    /// The keyword's entry in the language's table, if it is a keyword.
    pub(crate) word: Option<&'static Keyword>,
    pub(crate) kind: StatementKind,
    /// The places for words in it, in order.
    pub(crate) slots: Vec<Slot>,
    pub(crate) semi: Option<Token![;]>,
    pub(crate) complete: bool,
}

/// Where something that the user wrote starts, and where rustc should point if the generated code does not fit.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: Span,
    pub(crate) end: Span,
}

/// A place where one of several words may stand.
pub(crate) struct Slot {
    pub(crate) words: &'static Words,
    /// The word there, even if it is none of them: for the editor.
    pub(crate) word: Option<Ident>,
}

pub(crate) enum StatementKind {
    Image(Value),
    From(Operand),
    /// A call that the language's table describes completely.
    Call(&'static Call, Arguments),
    /// A word that may not follow the statement's: reported by the parser.
    NoChoice,
    Socket {
        host: Operand,
        path: Value,
    },
    File {
        path: Operand,
        contents: Value,
    },
    Mount {
        source: Operand,
        path: Value,
        readonly: Option<Ident>,
    },
    Copy {
        source: Operand,
        path: Value,
    },
    Bind {
        service: Operand,
        alias: Option<Value>,
    },
    Exec(Value, Option<ExecOptions>),
    Shell(Value, Option<ExecOptions>),
    Expose(Box<Expose>),
    Ready(Box<Ready>),
    Stop {
        signal: Operand,
        within: Option<Operand>,
    },
    After(Operand),
    Export {
        path: Operand,
        name: Option<Ident>,
    },
    /// A word that is not a statement: reported by the checks, which know the kind of body, and kept for the editor.
    Unknown(Foreign),
}

/// A word of other languages, with what is joined to it by `-`: `runs-on`.
pub(crate) struct Foreign {
    pub(crate) text: String,
    pub(crate) start: Span,
    pub(crate) end: Span,
}

/// The arguments of a call.
pub(crate) enum Arguments {
    Nothing,
    Value(Value),
    Keyed(Key, Value),
}

/// The options in braces after a command.
pub(crate) struct ExecOptions {
    pub(crate) brace: syn::token::Brace,
    pub(crate) list: Vec<ExecOption>,
}

pub(crate) struct ExecOption {
    pub(crate) keyword: Ident,
    pub(crate) kind: OptionKind,
}

pub(crate) enum OptionKind {
    Stdin(Value),
    Expect(Expectation),
    Timeout(Value),
    Stdout(Value),
    Stderr(Value),
    Fresh(Value),
    Uncached,
    /// Reported by the parser.
    Unknown,
}

#[derive(Clone, Copy)]
pub(crate) enum Expectation {
    Success,
    Failure,
    Any,
}

/// The name of an environment variable or a label.
pub(crate) enum Key {
    Name(Ident),
    Text(LitStr),
    Expr(Value),
}

pub(crate) struct Expose {
    pub(crate) port: Operand,
    pub(crate) protocol: Option<Ident>,
    pub(crate) name: Option<Ident>,
    /// The port of the machine in `on host 8080`.
    pub(crate) host: Option<Operand>,
    pub(crate) unprobed: Option<Ident>,
}

pub(crate) struct Ready {
    /// The word of the probe, even if there is no probe of that name: for the editor.
    pub(crate) word: Option<Ident>,
    pub(crate) probe: Probe,
    pub(crate) within: Option<Operand>,
}

pub(crate) enum Probe {
    Port,
    Http { path: Operand, on: Option<Operand> },
    Exec(Operand),
    Log { text: Operand, times: Option<Operand> },
    Image,
    Missing,
}

impl Form {
    pub(crate) fn header(&self) -> Option<&Header> {
        match self {
            Self::Item(header) => Some(header),
            Self::Expression | Self::Broken => None,
        }
    }
}

impl Header {
    /// The patterns of the parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Pat> {
        self.signature.inputs.iter().filter_map(|parameter| match parameter {
            FnArg::Typed(parameter) => Some(&*parameter.pat),
            FnArg::Receiver(_) => None,
        })
    }
}

impl Item {
    pub(crate) fn place(&self) -> Place {
        Place { start: self.keyword.span(), end: self.keyword.span() }
    }
}

impl Statement {
    /// Where rustc should point if a builder call does not fit: at the `;`. So the value and the end of the statement are
    /// underlined, and go-to-definition on the keyword does not offer too many targets.
    pub(crate) fn end(&self) -> Span {
        let brace = self.options().map(|options| options.brace.span.close());
        self.semi.map(|semi| semi.span).or(brace).unwrap_or_else(|| self.keyword.span())
    }

    pub(crate) fn place(&self) -> Place {
        Place { start: self.keyword.span(), end: self.end() }
    }

    /// The value of a call, if the statement is this one.
    pub(crate) fn value_of(&self, keyword: &'static Keyword) -> Option<&Value> {
        match &self.kind {
            StatementKind::Call(_, Arguments::Value(value)) if self.is(keyword) => Some(value),
            _ => None,
        }
    }

    /// The key and the value of a call, if the statement is this one.
    pub(crate) fn keyed_of(&self, keyword: &'static Keyword) -> Option<(&Key, &Value)> {
        match &self.kind {
            StatementKind::Call(_, Arguments::Keyed(key, value)) if self.is(keyword) => Some((key, value)),
            _ => None,
        }
    }

    fn is(&self, keyword: &'static Keyword) -> bool {
        self.word.is_some_and(|word| std::ptr::eq(word, keyword))
    }

    pub(crate) fn options(&self) -> Option<&ExecOptions> {
        match &self.kind {
            StatementKind::Exec(_, options) | StatementKind::Shell(_, options) => options.as_ref(),
            _ => None,
        }
    }
}

impl Expose {
    pub(crate) fn is_udp(&self) -> bool {
        self.protocol.as_ref().is_some_and(|protocol| protocol == "udp")
    }

    /// The port, if it is a number literal and a valid port.
    pub(crate) fn literal(&self) -> Option<(u16, Span)> {
        let number = self.port.number()?;
        let port = number.base10_parse().ok().filter(|port| *port != 0)?;
        Some((port, number.span()))
    }
}

impl Value {
    pub(crate) fn expr(&self) -> Option<&Expr> {
        match self {
            Self::Expr(expr) => Some(expr),
            Self::Partial(_) => None,
        }
    }

    /// Whether nothing was typed yet.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Partial(tokens) if tokens.is_empty())
    }

    /// The text, if it is a string literal.
    pub(crate) fn text(&self) -> Option<&LitStr> {
        match self.expr()? {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// The number, if it is an integer literal, with or without a minus; one too long to read is out of every range.
    pub(crate) fn number(&self) -> Option<i128> {
        let read = |literal: &ExprLit, sign: i128| match &literal.lit {
            Lit::Int(number) => Some(number.base10_parse::<i128>().map_or(i128::MAX, |number| sign * number)),
            _ => None,
        };
        match self.expr()? {
            Expr::Lit(literal) => read(literal, 1),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
                Expr::Lit(literal) => read(literal, -1),
                _ => None,
            },
            _ => None,
        }
    }

    /// The elements, if it is an array literal.
    pub(crate) fn list(&self) -> Option<&syn::ExprArray> {
        match self.expr()? {
            Expr::Array(array) => Some(array),
            _ => None,
        }
    }
}

impl Operand {
    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Name(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&LitStr> {
        self.value()?.text()
    }

    /// The number, if it is an integer literal.
    pub(crate) fn number(&self) -> Option<&LitInt> {
        match self.value()?.expr()? {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => Some(number),
                _ => None,
            },
            _ => None,
        }
    }
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Expr(expr) => expr.to_tokens(tokens),
            Self::Partial(partial) => partial.to_tokens(tokens),
        }
    }
}

impl ToTokens for Operand {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Name(name) => name.to_tokens(tokens),
            Self::Value(value) => value.to_tokens(tokens),
        }
    }
}

impl ToTokens for Pattern {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Pat(pat) => pat.to_tokens(tokens),
            Self::Partial(partial) => partial.to_tokens(tokens),
        }
    }
}
