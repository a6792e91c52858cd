//! `report`: reports of a run that is over.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, value_parser};

use super::failure::Failure;
use super::options::Needs;
use super::{Call, kept};
use crate::report::Report;

pub(super) const NAME: &str = "report";
pub(super) const NEEDS: Needs = Needs::Nothing;

/// The formats, with the extensions that stand for them.
const FORMATS: [(&str, Report, &[&str]); 4] = [
    ("html", Report::Html, &["html", "htm"]),
    ("junit", Report::JUnit, &["xml"]),
    ("trace", Report::ChromeTrace, &["json"]),
    ("events", Report::Events, &["jsonl", "ndjson"]),
];

pub(super) fn describe(command: Command) -> Command {
    let files = Arg::new("file").value_name("FILE").num_args(1..).required(true);
    let format = Arg::new("format").long("format").value_name("FORMAT");
    command
        .about("Write what happened in the last run into files, as `--report` and the like do in the run")
        .arg(files.value_parser(value_parser!(PathBuf)).help(
            "In the format of its extension: .html for browsers, .xml for JUnit, .json for a Chrome trace, .jsonl for events",
        ))
        .arg(
            format
                .value_parser(PossibleValuesParser::new(FORMATS.map(|(name, ..)| name)))
                .help("The format of all files, whatever their extensions are"),
        )
        .arg(kept::argument())
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let given = call.given;
    let paths: Vec<&PathBuf> = given.of("file").get_many("file").unwrap_or_default().collect();
    let asked = given.text("format");
    let of = |path: &Path| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_it = |(name, _, extensions): &&(&str, Report, &[&str])| match asked {
            Some(asked) => *name == asked,
            None => extensions.contains(&extension.as_str()),
        };
        FORMATS.iter().find(is_it).map(|(_, report, _)| *report).ok_or_else(|| unknown(path))
    };
    let reports: Vec<(&PathBuf, Report)> =
        paths.into_iter().map(|path| Ok((path, of(path)?))).collect::<Result<_, Failure>>()?;
    let run = kept::one(given.text("run"))?;
    for (path, report) in reports {
        report.write_from(path, run.lines()?)?;
    }
    Ok(())
}

/// The error for a file that is in no format.
fn unknown(path: &Path) -> Failure {
    let name = path.display();
    let message = format!(
        "the extension of `{name}` is that of no report: name one with `--format html`, `junit`, `trace` or `events`\n"
    );
    Failure::Usage(clap::Error::raw(ErrorKind::ValueValidation, message))
}
