//! A parameter of a pipeline's function as a flag of its command line.

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, ExprUnary, GenericArgument, Lit, LitChar, LitStr, Meta, MetaNameValue, Pat, PatType,
    PathArguments, Token, Type, UnOp,
};

use crate::errors::{Errors, help};
use crate::flags;
use crate::registry::{CLI_NAME, CLI_TYPE, FLAG_OPTION};
use crate::spelling::docs;

/// What a parameter says of itself in attributes.
#[derive(Default)]
pub(crate) struct FlagOptions {
    /// As it would be typed.
    pub(crate) default: Option<String>,
    pub(crate) short: Option<LitChar>,
    /// What help shows in the place of the value.
    pub(crate) value: Option<LitStr>,
}

/// A parameter as a flag.
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) options: FlagOptions,
    pub(crate) shape: Shape,
}

/// How often a flag may be given, and what it becomes.
pub(crate) enum Shape {
    /// `bool`
    Switch,
    /// `T`
    Required(Value),
    /// `Option<T>`
    Optional(Value),
    /// `Vec<T>`
    Repeated(Value),
}

/// One value of a flag.
pub(crate) enum Value {
    /// `&str`
    Borrowed,
    /// `T: FromStr`, with the place of its name.
    Parsed(Span),
}

const OPTIONS: &str = "the options are `default = \"7\"`, `short = 'v'` and `value = \"VERSION\"`";

/// Whether an attribute of a parameter is about its flag, and not for rustc.
pub(crate) fn is_of_flag(attribute: &Attribute) -> bool {
    ["flag", "doc"].iter().any(|name| attribute.path().is_ident(name))
}

impl FlagOptions {
    /// Adds what an attribute says.
    pub(crate) fn read(&mut self, attribute: &Attribute, errors: &mut Errors) {
        if !attribute.path().is_ident("flag") {
            return;
        }
        let Meta::List(list) = &attribute.meta else {
            errors.on(&FLAG_OPTION, attribute, help("a flag's options stand in parentheses", OPTIONS));
            return;
        };
        match list.parse_args_with(Punctuated::<MetaNameValue, Token![,]>::parse_terminated) {
            Ok(options) => options.iter().for_each(|option| self.set(option, errors)),
            Err(error) => errors.at(&FLAG_OPTION, error.span(), help(&error, OPTIONS)),
        }
    }

    fn set(&mut self, MetaNameValue { path, value, .. }: &MetaNameValue, errors: &mut Errors) {
        let given = match value {
            Expr::Lit(literal) => Some(&literal.lit),
            _ => None,
        };
        if path.is_ident("default") {
            self.default = literal(value);
            if self.default.is_none() {
                errors.on(
                    &FLAG_OPTION,
                    value,
                    help("a default is a literal", "as it would be typed: `default = \"7\"`"),
                );
            }
        } else if path.is_ident("short") {
            match given {
                Some(Lit::Char(letter)) => match flags::short(letter.value()) {
                    Ok(()) => self.short = Some(letter.clone()),
                    Err(problem) => errors.on(&FLAG_OPTION, value, problem),
                },
                _ => errors.on(&FLAG_OPTION, value, help("this is not a letter", "`short = 'v'`")),
            }
        } else if path.is_ident("value") {
            match given {
                Some(Lit::Str(text)) => self.value = Some(text.clone()),
                _ => errors.on(&FLAG_OPTION, value, help("this is not a text", "`value = \"VERSION\"`")),
            }
        } else {
            let message = format!("unknown option `{}` of a flag", spelled(path));
            errors.on(&FLAG_OPTION, path, help(message, OPTIONS));
        }
    }
}

/// A literal as it would be typed in a command line.
fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            Lit::Char(letter) => Some(letter.value().to_string()),
            Lit::Int(number) => Some(number.base10_digits().to_owned()),
            Lit::Float(number) => Some(number.base10_digits().to_owned()),
            Lit::Bool(value) => Some(value.value.to_string()),
            _ => None,
        },
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(number) if matches!(number.lit, Lit::Int(_) | Lit::Float(_)) => {
                literal(expr).map(|number| format!("-{number}"))
            }
            _ => None,
        },
        _ => None,
    }
}

impl Flag {
    /// The flag of a parameter, if it can be one.
    pub(crate) fn of(parameter: &PatType, errors: &mut Errors) -> Option<Self> {
        let Pat::Ident(name) = &*parameter.pat else {
            let message = help("a flag has no name here", "a parameter that is a name: `version: &str`");
            errors.on(&CLI_NAME, &parameter.pat, message);
            return None;
        };
        let mut options = FlagOptions::default();
        for attribute in &parameter.attrs {
            // What is wrong was reported where the signature is read.
            options.read(attribute, &mut Errors::default());
        }
        let flag = flag_name(&name.ident);
        if let Err(problem) = flags::name(&flag) {
            errors.at(&CLI_NAME, name.ident.span(), problem);
        }
        let ty = &*parameter.ty;
        let shape = shape(ty, errors)?;
        if options.default.is_some() && !matches!(shape, Shape::Required(_)) {
            let message = match shape {
                Shape::Switch => help("a switch is off by default", "remove `default`"),
                Shape::Repeated(_) => help("a flag that may be repeated has no default", "remove `default`"),
                _ => help("a flag with a default always has a value", "a type without `Option`"),
            };
            errors.on(&FLAG_OPTION, ty, message);
        }
        Some(Self { name: flag, help: docs(&parameter.attrs), options, shape })
    }
}

/// The flag's name: with `-`, as command lines have it.
fn flag_name(name: &Ident) -> String {
    name.unraw().to_string().trim_matches('_').replace('_', "-")
}

fn shape(ty: &Type, errors: &mut Errors) -> Option<Shape> {
    if let Type::Path(path) = ty
        && path.qself.is_none()
        && let Some(last) = path.path.segments.last()
    {
        let inner = match &last.arguments {
            PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => {
                match arguments.args.first() {
                    Some(GenericArgument::Type(inner)) => Some(inner),
                    _ => None,
                }
            }
            _ => None,
        };
        match (last.ident.to_string().as_str(), inner) {
            ("bool", None) => return Some(Shape::Switch),
            ("Option", Some(inner)) => return value(inner, errors).map(Shape::Optional),
            ("Vec", Some(inner)) => return value(inner, errors).map(Shape::Repeated),
            _ => {}
        }
    }
    value(ty, errors).map(Shape::Required)
}

fn value(ty: &Type, errors: &mut Errors) -> Option<Value> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_none() => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => return Some(Value::Borrowed),
            _ => {}
        },
        Type::Path(path) => {
            let name = path.path.segments.last().map_or_else(|| ty.span(), |last| last.ident.span());
            return Some(Value::Parsed(name));
        }
        _ => {}
    }
    let text = spelled(ty);
    let message = format!("no flag of a command line is a `{text}`");
    let advice = "`&str`, `bool`, a type that implements `FromStr`, or an `Option` or `Vec` of one; a pipeline that \
                  other Rust code calls may take anything, but has no `cli!`";
    errors.on(&CLI_TYPE, ty, help(message, advice));
    None
}

/// A type or a path as it is usually written.
fn spelled(tokens: impl ToTokens) -> String {
    let text = tokens.into_token_stream().to_string();
    text.replace("& ", "&")
        .replace(" <", "<")
        .replace("< ", "<")
        .replace(" >", ">")
        .replace(" :: ", "::")
        .replace(" ,", ",")
}
