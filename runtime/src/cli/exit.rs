//! Exit codes of a pipeline's program. They are part of its interface, as its flags are: scripts may rely on them.

use crate::Error;

/// Everything that was asked for was done.
pub const SUCCESS: u8 = 0;
/// Something else went wrong: a definition with a mistake, a file that cannot be written.
pub const FAILURE: u8 = 1;
/// The command line, or a variable of the environment, cannot be understood.
pub const USAGE: u8 = 2;
/// The pipeline has nothing that the command line asks for.
pub const NOTHING_MATCHED: u8 = 4;
/// No container engine answers.
pub const NO_ENGINE: u8 = 96;
/// A step failed.
pub const STEP_FAILED: u8 = 100;
/// A service did not start, did not get ready, or ended while it was in use.
pub const SERVICE_FAILED: u8 = 105;
/// The program was interrupted by Ctrl-C. It ends by the signal itself, which shells show as this number.
pub const INTERRUPTED: u8 = 130;

/// The exit code that tells of an error.
pub(super) fn code(error: &Error) -> u8 {
    match error {
        Error::StepFailed(_) => STEP_FAILED,
        Error::ServiceStart(_) | Error::ServiceNotReady(_) | Error::ServiceExited(_) => SERVICE_FAILED,
        Error::EngineUnreachable { .. } => NO_ENGINE,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_what_kind_of_error_it_was() {
        assert_eq!(code(&Error::EngineUnreachable { tried: Vec::new() }), NO_ENGINE);
        assert_eq!(code(&Error::invalid(None, "a mistake")), FAILURE);
    }
}
