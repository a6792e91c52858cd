//! The error of a step: what it ran with, what it wrote, and what is recognised in that.

use std::sync::Arc;

use super::hints;
use super::log::{self, Broken};
use super::running::Leases;
use super::scrub::Secrets;
use super::steps::Evaluation;
use crate::engine::{self, Recording};
use crate::error::Reason;
use crate::graph::{Step, Var};
use crate::lock::lock;
use crate::model::{Digest, Exit};
use crate::{Error, StepCause, StepError};

/// The exit code of a process ended by SIGKILL.
const KILLED: Exit = Exit { code: 137, out_of_memory: false };

/// A step whose process has failed.
pub(super) struct FailedStep<'a> {
    evaluation: &'a Evaluation,
    step: &'a Step,
    key: Digest,
    leases: &'a Leases,
    secrets: &'a Secrets,
}

impl Evaluation {
    pub(super) fn failed<'a>(
        &'a self,
        step: &'a Arc<Step>,
        leases: &'a Leases,
        secrets: &'a Secrets,
    ) -> FailedStep<'a> {
        FailedStep { evaluation: self, step, key: self.key(step), leases, secrets }
    }
}

impl FailedStep<'_> {
    pub(super) fn error(&self, exit: Exit, cause: StepCause, output: &Recording) -> StepError {
        let step = self.step;
        let args: Vec<String> = step.args.iter().flatten().map(|arg| self.secrets.scrub_text(arg)).collect();
        let (stdout, stderr) = (log::last_part(&output.stdout), log::last_part(&output.stderr));
        let help = match cause {
            StepCause::Failed | StepCause::TimedOut(_) => self.help(&args, &stdout, &stderr),
            StepCause::Succeeded | StepCause::TooMuchOutput(_) => Vec::new(),
        };
        StepError {
            name: step.name.to_string(),
            args,
            exit,
            cause,
            stdout,
            stderr,
            services: self.leases.used(),
            help,
            left: None,
            key: Some(self.key),
            locations: step.locations.all(),
        }
    }

    fn help(&self, args: &[String], stdout: &str, stderr: &str) -> Vec<String> {
        let config = &self.step.config;
        let image = self.evaluation.image(config.image.as_ref());
        let inherited = image.iter().flat_map(|image| &image.config.env);
        let own = config.env.iter().filter_map(|(key, value)| match value {
            Var::Plain(value) => Some((&**key, &**value)),
            Var::Secret(_) => None,
        });
        let failed = hints::Failed {
            name: &self.step.name,
            args,
            env: inherited.map(|(key, value)| (&**key, &**value)).chain(own).collect(),
            stdout,
            stderr,
            bindings: &self.step.bindings,
            aliases: lock(&self.evaluation.session.names).all(),
        };
        failed.help()
    }

    /// The error of a step that was killed because its output could not be recorded.
    pub(super) fn not_taken_down(&self, (output, why): (Recording, Option<Broken>)) -> Error {
        match why {
            Some(Broken::Io(error)) => {
                let written = output.stdout.length() + output.stderr.length();
                let message = format!(
                    "what a step of `{}` writes, {written} bytes so far, cannot be held there while it is needed: {error}\n\nhelp: have it written to a file in the container (`> /out` in a `shell`), or name a place with more room in TMPDIR",
                    self.step.name
                );
                Error::io(engine::place(), Reason::said(message, error))
            }
            Some(Broken::TooMuch) | None => {
                let error = self.error(KILLED, StepCause::TooMuchOutput(log::MOST), &output);
                Error::StepFailed(Box::new(error))
            }
        }
    }
}
