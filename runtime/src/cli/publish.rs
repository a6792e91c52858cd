//! `publish`: a container's result as an image in a registry.

use clap::{Arg, Command};

use super::failure::Failure;
use super::options::{Needs, item};
use super::{Call, print, select};
use crate::value::ItemHandle;

pub(super) const NAME: &str = "publish";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    let reference = Arg::new("reference").value_name("REFERENCE").required(true);
    command
        .about("Push what a container leaves to a registry, and print its reference by digest")
        .arg(item("A container, which runs first"))
        .arg(reference.help("Where it goes: `registry.example/team/app:1.2`"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let item = select::one(call.items, call.given.text("item").unwrap_or_default())?;
    let ItemHandle::Container(container) = &item.handle else {
        return Err(select::unfit(item, "cannot be published: `publish` takes a container"));
    };
    let reference = call.given.text("reference").unwrap_or_default();
    print::text(&container.publish(reference).await?)
}
