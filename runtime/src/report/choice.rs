//! What is shown, and in which form: what the program's flags say, else the environment, else where it goes.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The variable that decides what is shown.
pub(super) const PROGRESS: &str = "BOWLINE_PROGRESS";

/// What is shown while a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Whatever fits where it goes.
    Auto,
    /// A live tree.
    Tty,
    /// A line for each item that ends.
    Plain,
    /// Every line, as it happens.
    Log,
    /// Every event, as JSON.
    Json,
    /// Nothing.
    Quiet,
}

impl Progress {
    pub(crate) const ALL: [Self; 6] =
        [Self::Auto, Self::Tty, Self::Plain, Self::Log, Self::Json, Self::Quiet];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tty => "tty",
            Self::Plain => "plain",
            Self::Log => "log",
            Self::Json => "json",
            Self::Quiet => "quiet",
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Progress {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|one| format!("`{one}`")).join(", ");
        let found = Self::ALL.into_iter().find(|one| one.word() == word);
        found.ok_or_else(|| format!("it may be {}", known()))
    }
}

/// What the flags of the program's command line say; they are stronger than the environment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    pub(crate) progress: Option<Progress>,
    /// Whether there are colours; `None` leaves it to the environment.
    pub(crate) colours: Option<bool>,
}

static WISH: OnceLock<Wish> = OnceLock::new();

/// Sets what is wished for. Only the first call in a process counts, and only before its first session.
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only a command line has flags"))]
pub(crate) fn wish(wish: Wish) {
    let _ = WISH.set(wish);
}

/// Where standard error leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Terminal,
    /// A test runner, whose output is not the place for anything.
    Tests,
    Elsewhere,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// Never [`Progress::Auto`].
    pub(super) progress: Progress,
    pub(super) is_coloured: bool,
}

/// Decides. The error is what is wrong with the variable.
pub(super) fn choose(place: Place, variable: impl Fn(&str) -> Option<OsString>) -> Result<Choice, String> {
    decide(WISH.get().copied().unwrap_or_default(), place, variable)
}

/// Whether nobody has asked for anything.
pub(super) fn is_left_open() -> bool {
    let is_wished = WISH.get().is_some_and(|wish| wish.progress.is_some());
    let value = std::env::var_os(PROGRESS).filter(|value| !value.is_empty() && value != "auto");
    !is_wished && value.is_none()
}

fn decide(wish: Wish, place: Place, variable: impl Fn(&str) -> Option<OsString>) -> Result<Choice, String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_dumb = set("TERM").is_some_and(|term| term == "dumb");
    let from_variable = || match set(PROGRESS) {
        None => Ok(Progress::Auto),
        Some(value) => {
            let value = value.to_string_lossy();
            value.parse().map_err(|message| format!("{PROGRESS}={value} means nothing: {message}"))
        }
    };
    let can_draw = place == Place::Terminal && !is_dumb && cfg!(unix);
    let progress = match wish.progress.map_or_else(from_variable, Ok)? {
        Progress::Auto if can_draw => Progress::Tty,
        Progress::Auto if place == Place::Tests => Progress::Quiet,
        Progress::Auto => Progress::Plain,
        Progress::Tty if !can_draw => {
            let reason =
                if place == Place::Terminal { "TERM=dumb draws nothing" } else { "standard error is none" };
            return Err(format!("`tty` needs a terminal, and {reason}: `auto` takes one where there is one"));
        }
        other => other,
    };
    // https://no-color.org, https://bixense.com/clicolors; cargo's own variable is set in many workflows.
    let cargo = set("CARGO_TERM_COLOR");
    let is_coloured = wish.colours.unwrap_or_else(|| {
        if set("NO_COLOR").is_some() || cargo.as_ref().is_some_and(|value| value == "never") {
            false
        } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0")
            || cargo.as_ref().is_some_and(|value| value == "always")
        {
            true
        } else {
            place == Place::Terminal && !is_dumb
        }
    });
    Ok(Choice { progress, is_coloured })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(place: Place, variables: &[(&str, &str)]) -> Result<(Progress, bool), String> {
        let variable = |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.into());
        decide(Wish::default(), place, variable).map(|choice| (choice.progress, choice.is_coloured))
    }

    #[test]
    fn colours_are_for_terminals_that_know_and_people_who_want_them() {
        let of = |place, variables: &[(&str, &str)]| chosen(place, variables).unwrap().1;
        assert!(of(Place::Terminal, &[("TERM", "xterm")]));
        assert!(!of(Place::Terminal, &[("TERM", "dumb")]));
        assert!(!of(Place::Terminal, &[("NO_COLOR", "1")]));
        assert!(of(Place::Terminal, &[("NO_COLOR", "")]));
        assert!(!of(Place::Elsewhere, &[]));
        assert!(of(Place::Elsewhere, &[("CLICOLOR_FORCE", "1")]));
        assert!(of(Place::Terminal, &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")]));
        assert!(!of(Place::Elsewhere, &[("CLICOLOR_FORCE", "0")]));
        assert!(!of(Place::Elsewhere, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(of(Place::Elsewhere, &[("CARGO_TERM_COLOR", "always")]));
        assert!(!of(Place::Terminal, &[("CARGO_TERM_COLOR", "never")]));
    }

    #[test]
    fn what_is_shown_fits_where_it_goes_unless_somebody_asks() {
        let of = |place, variables: &[(&str, &str)]| chosen(place, variables).map(|(progress, _)| progress);
        assert_eq!(of(Place::Terminal, &[]), Ok(Progress::Tty));
        assert_eq!(of(Place::Terminal, &[("TERM", "dumb")]), Ok(Progress::Plain));
        assert_eq!(of(Place::Elsewhere, &[(PROGRESS, "")]), Ok(Progress::Plain));
        assert_eq!(of(Place::Elsewhere, &[(PROGRESS, "auto")]), Ok(Progress::Plain));
        assert_eq!(of(Place::Tests, &[]), Ok(Progress::Quiet));
        for word in ["plain", "log", "json", "quiet"] {
            for place in [Place::Terminal, Place::Tests, Place::Elsewhere] {
                assert_eq!(of(place, &[(PROGRESS, word)]).map(Progress::word), Ok(word));
            }
        }
        assert_eq!(of(Place::Terminal, &[(PROGRESS, "tty")]), Ok(Progress::Tty));
        assert_eq!(
            of(Place::Elsewhere, &[(PROGRESS, "tty")]).unwrap_err(),
            "`tty` needs a terminal, and standard error is none: `auto` takes one where there is one"
        );
        assert_eq!(
            of(Place::Terminal, &[(PROGRESS, "fancy")]).unwrap_err(),
            "BOWLINE_PROGRESS=fancy means nothing: it may be `auto`, `tty`, `plain`, `log`, `json`, `quiet`"
        );
    }

    #[test]
    fn a_flag_is_stronger_than_the_environment() {
        let wish = Wish { progress: Some(Progress::Log), colours: Some(true) };
        let variable = |_: &str| Some("quiet".into());
        let choice = decide(wish, Place::Elsewhere, variable).unwrap();
        assert_eq!(choice, Choice { progress: Progress::Log, is_coloured: true });
    }
}
