//! What settings make of a configuration.

use super::node::{Config, Var};
use crate::value::{EnvValueKind, Setting};

impl Config {
    pub(super) fn apply(&mut self, setting: &Setting) {
        match setting {
            Setting::Env { key, value } => {
                let value = match &value.0 {
                    EnvValueKind::Plain(value) => Var::Plain(value.clone()),
                    EnvValueKind::Secret(secret) => Var::Secret(secret.clone()),
                };
                self.env.insert(key.clone(), value);
            }
            Setting::Label { key, value } => drop(self.labels.insert(key.clone(), value.clone())),
            Setting::Workdir(path) => {
                self.workdir = Some(match &self.workdir {
                    Some(before) if !path.starts_with('/') => {
                        format!("{}/{path}", before.trim_end_matches('/'))
                    }
                    _ => path.clone(),
                });
            }
            Setting::User(user) => self.user = Some(user.clone()),
            Setting::Entrypoint(args) => self.entrypoint = Some(args.clone()),
            Setting::Hostname(name) => self.hostname = Some(name.clone()),
            Setting::Security(later) => self.security.set(later),
            Setting::Limits(later) => self.limits.set(later),
        }
    }
}
