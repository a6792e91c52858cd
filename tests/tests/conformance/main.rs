//! Every promise of the runtime, one named test each, on a real engine with real services.

mod bindings;
mod disks;
mod engines;
mod events;
mod failures;
mod health;
mod host;
mod host_services;
mod images;
mod lifecycle;
mod limits;
mod links;
mod locations;
mod mounts;
mod names;
mod platforms;
mod prepared;
mod processes;
mod programs;
mod pruning;
mod publishing;
mod refresh;
mod registry;
mod running;
mod secrets;
mod security;
mod starting;
mod statements;
mod steps;
mod suites;
#[cfg(target_os = "linux")]
mod terminals;
mod tunnels;
mod units;
mod users;
mod world;
