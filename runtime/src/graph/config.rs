//! What operations make of a configuration.

use super::node::{Config, Var};
use crate::value::{EnvValueKind, Op};

impl Config {
    /// Applies an operation that configures; any other changes nothing.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Env { key, value } => {
                let value = match &value.0 {
                    EnvValueKind::Plain(value) => Var::Plain(value.clone()),
                    EnvValueKind::Secret(secret) => Var::Secret(secret.clone()),
                };
                self.env.insert(key.clone(), value);
            }
            Op::Label { key, value } => drop(self.labels.insert(key.clone(), value.clone())),
            Op::Workdir(path) => {
                self.workdir = Some(match &self.workdir {
                    Some(before) if !path.starts_with('/') => {
                        format!("{}/{path}", before.trim_end_matches('/'))
                    }
                    _ => path.clone(),
                });
            }
            Op::User(user) => self.user = Some(user.clone()),
            Op::Entrypoint(args) => self.entrypoint = Some(args.clone()),
            Op::Hostname(name) => self.hostname = Some(name.clone()),
            Op::Privileged => self.privileged = true,
            Op::LimitCpu(processors) => self.cpu = Some(*processors),
            Op::LimitMemory(bytes) => self.memory = Some(*bytes),
            Op::LimitPids(number) => self.pids = Some(*number),
            Op::LimitNofile(number) => self.nofile = Some(*number),
            _ => {}
        }
    }
}
