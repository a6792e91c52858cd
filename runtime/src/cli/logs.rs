//! `logs`: what an item writes.

use clap::{Arg, Command};

use super::failure::Failure;
use super::options::{Needs, switch};
use super::{Call, print, select};
use crate::value::ItemHandle;

pub(super) const NAME: &str = "logs";
pub(super) const NEEDS: Needs = Needs::Engine;

pub(super) fn describe(command: Command) -> Command {
    command
        .about("Print what an item writes: a service until it is ready, a container's last command")
        .arg(item("A service or a container, which runs if it has to"))
        .arg(switch("follow", "Go on until the service ends, or Ctrl-C").short('f'))
}

/// The one item that a command is about.
pub(super) fn item(help: &'static str) -> Arg {
    Arg::new("item").value_name("ITEM").required(true).help(help)
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let item = select::one(call.items, call.given.text("item").unwrap_or_default())?;
    match &item.handle {
        ItemHandle::Container(container) => {
            let output = container.output().await?;
            print::bytes(&output.stdout)?;
            print::bytes(&output.stderr)
        }
        ItemHandle::Service(service) if call.given.is_set("follow") => {
            // Before it is ready there is something to read already.
            let start = service.start();
            let print = async {
                let mut lines = service.logs().wait_for_start().await?;
                while let Some(line) = lines.next().await? {
                    print::text(&line.text)?;
                }
                Ok(())
            };
            let (started, printed) = tokio::join!(start, print);
            started?;
            printed
        }
        ItemHandle::Service(service) => {
            service.start().await?;
            print::text(&service.logs().text().await?)
        }
        _ => Err(select::unfit(item, "writes nothing: `logs` takes a service or a container")),
    }
}
