//! What `explain` says of files that were not kept.

use crate::engine::Choice;
use crate::error::show_duration;

/// Why a cached step's files are not there, if they are not.
pub(super) fn words(unkept: Option<Choice>) -> Option<String> {
    let Choice { keeps_files, took, keeping } = unkept?;
    Some(if keeps_files {
        "its output is kept, its files are gone".to_owned()
    } else {
        let (took, keeping) = (show_duration(took), show_duration(keeping));
        format!("its output is kept, its files are not: it took {took}, keeping takes {keeping}")
    })
}
