//! A run as one HTML file, which needs no network: the page of `html/page.html` with the run's data in it.

use std::io;

use super::record::Run;

const PAGE: &str = include_str!("html/page.html");
/// Where the data goes.
const MARK: &str = "/*BOWLINE_RUN*/";

pub(super) fn page(run: &Run) -> io::Result<String> {
    // Nothing in the data ends the element that it is in.
    let data = serde_json::to_string(run)?.replace('<', "\\u003c");
    let (before, after) =
        PAGE.split_once(MARK).ok_or_else(|| io::Error::other("the page has no place for its data"))?;
    Ok([before, &data, after].concat())
}
