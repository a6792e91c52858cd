//! `lock`: what the images' tags mean, written down.

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

use super::failure::Failure;
use super::options::Needs;
use super::{Call, print};
use crate::session::{Session, lock_file};

pub(super) const NAME: &str = "lock";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    let path = Arg::new("file").value_name("FILE").value_parser(value_parser!(PathBuf));
    command.about("Write down which images the tags of the pipeline mean now").long_about(
        "Write down which images the tags of the pipeline mean now.\n\nWith BOWLINE_IMAGES=pinned a tag means what the \
         file says; with BOWLINE_IMAGES=frozen, an image that is not in the file is an error as well. The default, live, \
         takes what a tag means today.",
    )
    .arg(path.help("The file; by default bowline.lock, where it is found, or beside Cargo.lock"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let path = call.given.of("file").get_one::<PathBuf>("file").cloned().unwrap_or_else(lock_file);
    let number = Session::current().locked(call.items, path.clone()).await?;
    let images = if number == 1 { "1 image".to_owned() } else { format!("{number} images") };
    print::text(&format!("locked {images} in {}", path.display()))?;
    Ok(())
}
