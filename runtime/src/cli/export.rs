//! `export`: files of an item, written to this machine.

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

use super::failure::Failure;
use super::options::Needs;
use super::{Call, select};
use crate::Result;
use crate::model::EntryKind;
use crate::value::{Container, ItemHandle};

pub(super) const NAME: &str = "export";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    let source = Arg::new("source").value_name("ITEM[:PATH]").required(true);
    let target = Arg::new("target").value_name("TARGET").required(true).value_parser(value_parser!(PathBuf));
    command
        .about("Write files or an image to this machine: `export build:/out/app ./app`")
        .arg(
            source.help(
                "A dir, a file, what a container exports, or a path in a container or dir; a container alone is an image's archive",
            ),
        )
        .arg(target.help("Where it is written: a directory's contents go into it, a file under this name"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let source = call.given.text("source").unwrap_or_default();
    let target = call.given.of("target").get_one::<PathBuf>("target").cloned().unwrap_or_default();
    // A name of an item may have a colon itself.
    let (name, path) = match source.rsplit_once(':') {
        Some((name, path)) if !select::has_source(call.items, source) => (name, Some(path)),
        _ => (source, None),
    };
    let source = select::source(call.items, name)?;
    match (source.handle, path) {
        (ItemHandle::Container(container), Some(path)) => save(container, path, target).await?,
        (ItemHandle::Directory(directory), None) => directory.save_to(target).await?,
        (ItemHandle::Directory(directory), Some(path)) => {
            let below = directory.directory(path).at;
            save(&below.container, &below.path, target).await?;
        }
        (ItemHandle::File(file), None) => file.save_to(target).await?,
        (ItemHandle::Container(container), None) => container.export_image(target).await?,
        _ => return Err(source.unfit("has no such files: `export` takes a container, a dir or a file")),
    }
    Ok(())
}

/// Writes what is at a path, whichever of the two it is.
async fn save(container: &Container, path: &str, target: PathBuf) -> Result<()> {
    let file = container.file(path);
    if path.ends_with('/') || file.stat().await?.kind == EntryKind::Directory {
        container.directory(path).save_to(target).await
    } else {
        file.save_to(target).await
    }
}
