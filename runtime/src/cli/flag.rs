//! Flags of a pipeline: what its program declares, and what is given.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches};

use super::given::Given;
use crate::{Error, Result, flags};

/// A flag that a pipeline's command line has: `--version 7`.
///
/// ```
/// use bowline::cli::Flag;
///
/// let version = Flag::new("version").default(7).parsed_as::<u16>().help("The server's version");
/// # let _ = version;
/// ```
#[derive(Clone)]
#[must_use = "a flag is declared with `Cli::flag`"]
pub struct Flag {
    name: String,
    help: String,
    short: Option<char>,
    value_name: Option<String>,
    default: Option<String>,
    kind: Kind,
    check: Check,
}

/// Says what is wrong with a value.
type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Required,
    Optional,
    Repeated,
}

impl Flag {
    /// A flag with a value, which has to be given if there is no [default](Self::default).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: String::new(),
            short: None,
            value_name: None,
            default: None,
            kind: Kind::Required,
            check: Arc::new(|_| Ok(())),
        }
    }

    /// A flag without a value: [`Flags::is_set`] says whether it is given.
    pub fn switch(name: impl Into<String>) -> Self {
        Self { kind: Kind::Switch, ..Self::new(name) }
    }

    /// The value where the flag is not given.
    pub fn default(self, value: impl Display) -> Self {
        Self { default: Some(value.to_string()), ..self }
    }

    /// It may be left away: [`Flags::optional`] has its value.
    pub fn optional(self) -> Self {
        Self { kind: Kind::Optional, ..self }
    }

    /// It may be given any number of times, and never: [`Flags::repeated`] has its values.
    pub fn repeated(self) -> Self {
        Self { kind: Kind::Repeated, ..self }
    }

    /// Its values are of this type: others are refused before the pipeline is evaluated.
    pub fn parsed_as<T: FromStr<Err: Display> + 'static>(self) -> Self {
        self.read_by(Reader::<T>::new())
    }

    /// As [`parsed_as`](Self::parsed_as).
    #[doc(hidden)]
    pub fn read_by<T: 'static>(self, reader: Reader<T>) -> Self {
        Self { check: Arc::new(move |text| (reader.parse)(text).map(drop)), ..self }
    }

    /// A letter for it: `-v`.
    pub fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// What help shows in the place of the value; by default the flag's name in upper case.
    pub fn value_name(self, name: impl Into<String>) -> Self {
        Self { value_name: Some(name.into()), ..self }
    }

    /// What it is for.
    pub fn help(self, text: impl Into<String>) -> Self {
        Self { help: text.into(), ..self }
    }

    /// Its id among all arguments, of which bowline's own are plain words.
    fn id(&self) -> String {
        format!("pipeline.{}", self.name)
    }

    pub(super) fn argument(&self) -> Arg {
        let check = self.check.clone();
        let value = move |text: &str| check(text).map(|()| text.to_owned());
        let value_name = || self.name.to_uppercase().replace('-', "_");
        let mut argument = Arg::new(self.id()).long(self.name.clone()).help_heading("Flags of this pipeline");
        argument = match self.kind {
            Kind::Switch => argument.action(ArgAction::SetTrue),
            Kind::Repeated => argument.action(ArgAction::Append).value_parser(value),
            Kind::Required | Kind::Optional => argument.action(ArgAction::Set).value_parser(value),
        };
        if self.kind != Kind::Switch {
            argument = argument
                .value_name(self.value_name.clone().unwrap_or_else(value_name))
                .allow_hyphen_values(true);
        }
        if let Some(default) = &self.default {
            argument = argument.default_value(default.clone());
        }
        if let Some(letter) = self.short {
            argument = argument.short(letter);
        }
        let needed = self.kind == Kind::Required && self.default.is_none();
        let help = self.help.trim();
        let mark = match (needed, help.is_empty()) {
            (false, _) => "",
            (true, true) => "[required]",
            (true, false) => " [required]",
        };
        argument.help(format!("{help}{mark}"))
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flag").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whether flags have names that they can have.
pub(super) fn check(declared: &[Flag]) -> Result<()> {
    for (index, flag) in declared.iter().enumerate() {
        let letters = flag.short.map_or(Ok(()), flags::short);
        flags::name(&flag.name).and(letters).map_err(|problem| Error::invalid(None, problem.to_string()))?;
        let same =
            |other: &&Flag| other.name == flag.name || flag.short.is_some() && other.short == flag.short;
        if let Some(other) = declared.iter().take(index).find(same) {
            let message = format!("the flags `--{}` and `--{}` cannot be told apart", other.name, flag.name);
            return Err(Error::invalid(None, message));
        }
    }
    Ok(())
}

/// What is given of the flags of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    given: HashMap<String, Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Switch(bool),
    Texts(Kind, Vec<String>),
}

impl Flags {
    /// What a command line says of the declared flags; `Err` has the names of those that it lacks.
    pub(super) fn of(declared: &[Flag], given: &Given<'_>) -> Result<Self, Vec<String>> {
        let values = declared.iter().map(|flag| {
            let id = flag.id();
            let matches: &ArgMatches = given.of(&id);
            let value = match flag.kind {
                Kind::Switch => Value::Switch(matches.get_flag(&id)),
                kind => {
                    let texts = matches.get_many::<String>(&id).unwrap_or_default();
                    Value::Texts(kind, texts.cloned().collect())
                }
            };
            (flag.name.clone(), value)
        });
        let given: HashMap<String, Value> = values.collect();
        let is_missing = |flag: &&Flag| match given.get(&flag.name) {
            Some(Value::Texts(Kind::Required, texts)) => texts.is_empty(),
            _ => false,
        };
        let missing: Vec<String> =
            declared.iter().filter(is_missing).map(|flag| format!("--{}", flag.name)).collect();
        if missing.is_empty() { Ok(Self { given }) } else { Err(missing) }
    }

    /// The value of a flag with a value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such flag, and for a value that is not of this type.
    pub fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T> {
        Reader::new().one(self, name)
    }

    /// The value of an [optional](Flag::optional) flag, if it is given.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn optional<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>> {
        Reader::new().optional(self, name)
    }

    /// The values of a [repeated](Flag::repeated) flag, in order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn repeated<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Vec<T>> {
        Reader::new().repeated(self, name)
    }

    /// Whether a [switch](Flag::switch) is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such switch.
    pub fn is_set(&self, name: &str) -> Result<bool> {
        match self.given.get(name) {
            Some(Value::Switch(is_set)) => Ok(*is_set),
            _ => Err(undeclared(name, Kind::Switch)),
        }
    }

    fn one<T>(&self, name: &str, parse: fn(&str) -> Result<T, String>) -> Result<T> {
        let values = self.all(name, Kind::Required, parse)?;
        values.into_iter().next().ok_or_else(|| undeclared(name, Kind::Required))
    }

    fn all<T>(&self, name: &str, wanted: Kind, parse: fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        let texts = match self.given.get(name) {
            Some(Value::Texts(kind, texts)) if *kind == wanted => texts,
            _ => return Err(undeclared(name, wanted)),
        };
        let parsed = |text: &String| {
            parse(text).map_err(|error| Error::invalid(None, format!("`--{name} {text}`: {error}")))
        };
        texts.iter().map(parsed).collect()
    }
}

/// Reads values of a type that the compiler infers: `cli!` does not name the types of parameters, whose names may mean
/// nothing where it stands.
#[doc(hidden)]
pub struct Reader<T> {
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reader<T> {}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<T: FromStr<Err: Display>> Reader<T> {
    #[expect(clippy::new_without_default, reason = "only `cli!` makes one")]
    #[must_use]
    pub fn new() -> Self {
        Self { parse: |text| text.parse::<T>().map_err(|error| error.to_string()) }
    }
}

/// Only `new` asks for what the type can do, so that rustc says once that it cannot.
impl<T> Reader<T> {
    pub fn one(self, flags: &Flags, name: &str) -> Result<T> {
        flags.one(name, self.parse)
    }

    pub fn optional(self, flags: &Flags, name: &str) -> Result<Option<T>> {
        flags.all(name, Kind::Optional, self.parse).map(|values| values.into_iter().next())
    }

    pub fn repeated(self, flags: &Flags, name: &str) -> Result<Vec<T>> {
        flags.all(name, Kind::Repeated, self.parse)
    }
}

fn undeclared(name: &str, kind: Kind) -> Error {
    let declaration = match kind {
        Kind::Switch => format!("Flag::switch(\"{name}\")"),
        Kind::Required => format!("Flag::new(\"{name}\")"),
        Kind::Optional => format!("Flag::new(\"{name}\").optional()"),
        Kind::Repeated => format!("Flag::new(\"{name}\").repeated()"),
    };
    let message =
        format!("no flag `--{name}` of this kind is declared\n\nhelp: `Cli::new(…).flag({declaration})`");
    Error::invalid(None, message)
}
