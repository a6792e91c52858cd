//! `bowline::cli!(ci);`: the `main` of a program whose command line is that of a pipeline.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, FnArg, GenericParam, Result, ReturnType, Signature, Type};

use crate::errors::{Errors, help};
use crate::flag::{Flag, Shape, Value};
use crate::registry::CLI_TYPE;
use crate::spelling::docs;

/// What the macro of a pipeline's function gives.
struct Pipeline {
    krate: TokenStream,
    /// The function, as `cli!` names it.
    path: TokenStream,
    docs: String,
    signature: Signature,
}

/// Takes `[path of the runtime crate] [path of the function] /// docs fn ci(…) -> Ci`.
pub(crate) fn main(input: TokenStream) -> TokenStream {
    match Pipeline::parse.parse2(input) {
        Ok(pipeline) => pipeline.main(),
        // This only fails without the façade of the runtime crate.
        Err(error) => error.into_compile_error(),
    }
}

impl Pipeline {
    fn parse(input: ParseStream) -> Result<Self> {
        let [krate, path] = [input.parse::<Group>()?.stream(), input.parse::<Group>()?.stream()];
        let docs = docs(&input.call(Attribute::parse_outer)?);
        Ok(Self { krate, path, docs, signature: input.parse()? })
    }

    fn main(&self) -> TokenStream {
        let mut errors = Errors::default();
        let Self { krate, path, docs, signature } = self;
        self.check_generics(&mut errors);
        let parameters = signature.inputs.iter().filter_map(|parameter| match parameter {
            FnArg::Typed(parameter) => Some(parameter),
            FnArg::Receiver(_) => None,
        });
        let flags: Vec<Option<Flag>> = parameters.map(|parameter| Flag::of(parameter, &mut errors)).collect();
        let main = Ident::new("main", Span::call_site());
        if !errors.is_empty() {
            let errors = errors.to_tokens();
            return quote! {
                fn #main() -> ::std::process::ExitCode { ::core::unreachable!() }
                #errors
            };
        }
        let flags: Vec<(Ident, Flag)> = flags
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, flag)| (format_ident!("__flag_{}", index, span = Span::mixed_site()), flag))
            .collect();
        let given = format_ident!("flags", span = Span::mixed_site());
        let readers = flags.iter().map(|(ident, flag)| flag.reader(krate, ident));
        let declared = flags.iter().map(|(ident, flag)| flag.declared(krate, ident));
        let bound = flags.iter().map(|(ident, flag)| flag.bound(ident, &given));
        let arguments = flags.iter().map(|(ident, flag)| flag.argument(ident));
        let mut call = quote!(#path(#(#arguments),*));
        if signature.asyncness.is_some() {
            call = quote!(#call.await);
        }
        let made = match self.outcome() {
            Outcome::Plain => call,
            Outcome::Ok => quote!(#call?),
            Outcome::Some => {
                let message = format!("`{}` gives no pipeline for these flags", signature.ident);
                quote!(#call.ok_or(#message)?)
            }
        };
        quote! {
            fn #main() -> ::std::process::ExitCode {
                #(#readers)*
                #krate::cli::Cli::new(async move |#given: #krate::cli::Flags| {
                    #(#bound)*
                    #krate::__private::evaluated(#made.items())
                })
                .about(#docs)
                #(.flag(#declared))*
                .main()
            }
        }
    }

    fn check_generics(&self, errors: &mut Errors) {
        for parameter in &self.signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let message = "a pipeline with a command line is not generic";
                errors.on(&CLI_TYPE, parameter, help(message, "types that a flag can have: `version: &str`"));
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let ReturnType::Type(_, ty) = &self.signature.output else { return Outcome::Plain };
        let Type::Path(path) = &**ty else { return Outcome::Plain };
        match path.path.segments.last() {
            Some(last) if last.arguments.is_none() => Outcome::Plain,
            Some(last) if last.ident == "Option" => Outcome::Some,
            Some(_) => Outcome::Ok,
            None => Outcome::Plain,
        }
    }
}

/// How the function returns the pipeline.
enum Outcome {
    Plain,
    Ok,
    Some,
}

impl Flag {
    /// What reads the flag's values. Their type follows from the function that takes them, as the name of a type may mean
    /// nothing here; it is spanned where the parameter has it, for the error if nothing can be read as one.
    fn reader(&self, krate: &TokenStream, ident: &Ident) -> TokenStream {
        let made = match &self.shape {
            Shape::Switch => return TokenStream::new(),
            Shape::Required(value) | Shape::Optional(value) | Shape::Repeated(value) => match value {
                Value::Borrowed => quote!(#krate::__private::Reader::<::std::string::String>::new()),
                Value::Parsed(at) => {
                    // rustc points at what starts and ends in one place.
                    let krate = krate.clone().into_iter().map(|mut token| {
                        token.set_span(token.span().located_at(*at));
                        token
                    });
                    let krate: TokenStream = krate.collect();
                    quote_spanned!(Span::mixed_site().located_at(*at)=> #krate::__private::Reader::new())
                }
            },
        };
        quote!(let #ident = #made;)
    }

    /// The flag's declaration.
    fn declared(&self, krate: &TokenStream, ident: &Ident) -> TokenStream {
        let (name, help) = (&self.name, &self.help);
        let kind = match &self.shape {
            Shape::Switch => quote!(switch(#name)),
            Shape::Required(_) => quote!(new(#name).read_by(#ident)),
            Shape::Optional(_) => quote!(new(#name).read_by(#ident).optional()),
            Shape::Repeated(_) => quote!(new(#name).read_by(#ident).repeated()),
        };
        let default = self.options.default.as_ref().map(|default| quote!(.default(#default)));
        let short = self.options.short.as_ref().map(|short| quote!(.short(#short)));
        let value = self.options.value.as_ref().map(|value| quote!(.value_name(#value)));
        let help = (!help.is_empty()).then(|| quote!(.help(#help)));
        quote!(#krate::cli::Flag::#kind #default #short #value #help)
    }

    /// `let flag = …;`
    fn bound(&self, ident: &Ident, given: &Ident) -> TokenStream {
        let name = &self.name;
        let value = match &self.shape {
            Shape::Switch => quote!(#given.is_set(#name)?),
            Shape::Required(_) => quote!(#ident.one(&#given, #name)?),
            Shape::Optional(_) => quote!(#ident.optional(&#given, #name)?),
            Shape::Repeated(_) => quote!(#ident.repeated(&#given, #name)?),
        };
        quote!(let #ident = #value;)
    }

    /// The value as the function takes it.
    fn argument(&self, ident: &Ident) -> TokenStream {
        match &self.shape {
            Shape::Required(Value::Borrowed) => quote!(&#ident),
            Shape::Optional(Value::Borrowed) => quote!(#ident.as_deref()),
            Shape::Repeated(Value::Borrowed) => {
                quote!(#ident.iter().map(::std::string::String::as_str).collect())
            }
            _ => ident.to_token_stream(),
        }
    }
}
