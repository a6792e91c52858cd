//! Words of compose files, Dockerfiles and CI configurations, each with its counterpart in the language: what the compiler
//! says where one of them stands in a pipeline, and what the documentation's tables show.

mod ci;
mod compose;
mod dockerfile;

#[cfg(test)]
mod tests;

use crate::keywords::{self, Grammar, Kind};

/// Words that mean the same there, and what says it here.
struct Row {
    /// As their own documentation writes them. They are found in upper and lower case, and with `-` for `_`.
    words: &'static [&'static str],
    /// Items and statements, each as one writes it; without any the note says why there is none.
    forms: &'static [&'static str],
    note: &'static str,
}

/// `"word" | "word" = ["form", "form"] "note";`
macro_rules! rows {
    ($($($word:literal)|+ = [$($form:literal),*] $($note:literal)?;)*) => {
        pub(super) static ROWS: &[Row] =
            &[$(Row { words: &[$($word),+], forms: &[$($form),*], note: concat!($($note)?) }),*];
    };
}
use rows;

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// Between items.
    Items,
    Body(Kind),
    /// In the braces behind a command.
    Options,
}

/// What to say of a word that starts nothing here, if it is one of theirs.
pub(crate) fn advice(word: &str, site: Site) -> Option<String> {
    let row = find(word)?;
    let fitting: Vec<&str> = row.forms.iter().copied().filter(|form| fits(form, site)).collect();
    if fitting.is_empty() && site == Site::Options {
        return None;
    }
    if row.forms.is_empty() {
        return Some(format!("`{word}` has no counterpart here: {}", row.note));
    }
    let forms = if fitting.is_empty() { row.forms } else { &fitting };
    let place = if fitting.is_empty() { format!(", {}", places(forms)) } else { String::new() };
    let mut ours: Vec<String> = forms.iter().map(|form| format!("`{}`", ours(form))).collect();
    ours.dedup();
    let ours = either(&ours);
    let is = if ours == format!("`{word}`") { "written differently".to_owned() } else { ours };
    let forms: Vec<String> = forms.iter().map(|form| format!("`{form}`")).collect();
    let note = if row.note.is_empty() { String::new() } else { format!("\nnote: {}", row.note) };
    Some(format!("`{word}` is {is} here{place}: {}{note}", either(&forms)))
}

/// The kind of item that a word declares, so that the names behind it are known.
pub(crate) fn kind(word: &str) -> Option<Kind> {
    find(word)?.forms.iter().find_map(|form| Kind::of(first_word(form)))
}

/// Whether the tables have a word.
pub(crate) fn is_known(word: &str) -> bool {
    find(word).is_some()
}

fn find(word: &str) -> Option<&'static Row> {
    let folded = folded(word);
    // Extensions of compose files: `x-anything`.
    let folded = if folded.starts_with("x_") { "x_" } else { &folded };
    let mut rows = [compose::ROWS, dockerfile::ROWS, ci::ROWS].into_iter().flatten();
    rows.find(|row| row.words.iter().any(|known| self::folded(known) == *folded))
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

fn first_word(form: &str) -> &str {
    form.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(form)
}

/// The word of the language that a form is about: an option of a command, `limit memory`, or its first word.
fn ours(form: &str) -> &str {
    let first = first_word(form);
    if let Some(option) = option(form) {
        return first_word(option);
    }
    match keywords::statement(first).map(|keyword| &keyword.grammar) {
        Some(Grammar::Choice(_)) => {
            let second = form.get(first.len() + 1..).map_or(0, |rest| first_word(rest).len());
            form.get(..first.len() + 1 + second).unwrap_or(first)
        }
        _ => first,
    }
}

/// What is in the braces behind a command.
fn option(form: &str) -> Option<&str> {
    form.strip_prefix("exec ")?.split_once("] { ").map(|(_, option)| option)
}

fn fits(form: &str, site: Site) -> bool {
    let first = first_word(form);
    match (keywords::statement(first), site) {
        (_, Site::Options) => option(form).is_some(),
        _ if keywords::CONTROL.contains(&first) => true,
        // `file` is both.
        (_, Site::Items) => is_item(form),
        (Some(keyword), Site::Body(kind)) => !is_item(form) && keyword.fits(kind),
        (None, Site::Body(_)) => false,
    }
}

fn is_item(form: &str) -> bool {
    let first = first_word(form);
    Kind::of(first).is_some() && !form.starts_with(&format!("{first} \""))
}

/// Where forms stand that do not fit.
fn places(forms: &[&str]) -> &'static str {
    match forms.split_first() {
        Some((first, others)) if others.iter().all(|form| place(form) == place(first)) => place(first),
        _ => ANY_BODY,
    }
}

const ANY_BODY: &str = "in a service or container";

fn place(form: &str) -> &'static str {
    match keywords::statement(first_word(form)) {
        _ if is_item(form) => "outside of all bodies",
        Some(keyword) if !keyword.fits(Kind::Container) => "in a service",
        Some(keyword) if !keyword.fits(Kind::Service) => "in a container",
        _ => ANY_BODY,
    }
}

fn either(parts: &[String]) -> String {
    match parts.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => parts.concat(),
    }
}
