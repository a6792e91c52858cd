//! Every promise of the runtime, one named test each, on a real engine with real services.

mod bindings;
mod disks;
mod engines;
mod failures;
mod health;
mod host;
mod images;
mod lifecycle;
mod limits;
mod links;
mod locations;
mod mounts;
mod names;
mod platforms;
mod processes;
mod programs;
mod pruning;
mod publishing;
mod registry;
mod secrets;
mod starting;
mod statements;
mod steps;
mod units;
mod users;
mod world;
