//! Programs of our own that run in an engine's networks (`helper/README.md`), and their image.

use super::own::Own;
use crate::{Error, Result};

/// The path of the prober in the image.
pub(super) const PROBE: &str = "/probe";

/// The path of the relay in the image.
pub(super) const RELAY: &str = "/relay";

/// The path, in the image, of the program that kills commands.
pub(super) const KILL: &str = "/kill";

const WHAT: &str = "put the image of the helpers (15 kB) into the engine";

/// The id of the image for an engine of this platform, once the engine has it.
pub(super) async fn ready(client: &bollard::Docker, platform: &str) -> Result<String> {
    let layer = layer(&programs(platform)?).map_err(|error| Error::engine(WHAT, error))?;
    Own::new("bowline/helper", WHAT, layer).ready(client).await
}

/// The program that is process 1 of a container in which steps run one after another; `None` if there is none for this
/// platform.
pub(super) fn chain(platform: &str) -> Option<&'static [u8]> {
    match platform.split('/').nth(1) {
        Some("amd64" | "x86_64") => Some(include_bytes!("helper/chain-x86_64")),
        Some("arm64" | "aarch64") => Some(include_bytes!("helper/chain-aarch64")),
        _ => None,
    }
}

type Program = (&'static str, &'static [u8]);

/// The programs for a platform, as engines name them: `linux/amd64`, `linux/arm64/v8`.
fn programs(platform: &str) -> Result<[Program; 3]> {
    match platform.split('/').nth(1) {
        Some("amd64" | "x86_64") => Ok([
            (PROBE, include_bytes!("helper/probe-x86_64")),
            (RELAY, include_bytes!("helper/relay-x86_64")),
            (KILL, include_bytes!("helper/kill-x86_64")),
        ]),
        Some("arm64" | "aarch64") => Ok([
            (PROBE, include_bytes!("helper/probe-aarch64")),
            (RELAY, include_bytes!("helper/relay-aarch64")),
            (KILL, include_bytes!("helper/kill-aarch64")),
        ]),
        _ => Err(Error::engine(
            "run a helper in the engine",
            format!(
                "what cannot be done from here, such as probing a service whose address is not reached, is done by \
                 programs in the engine's networks, which exist for amd64 and arm64 only; the engine's platform is \
                 `{platform}`\n\n\
                 help: mark the service's ports as unprobed and give it `ready exec` or `ready log`; there are no \
                 tunnels to its services and no host services"
            ),
        )),
    }
}

/// A root directory that contains only the programs. The same bytes each time.
fn layer(programs: &[Program]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, program) in programs {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(program.len() as u64);
        header.set_mtime(0);
        tar.append_data(&mut header, path.trim_start_matches('/'), *program)?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_programs() {
        // The machine that an ELF header names: 62 is x86-64, 183 AArch64.
        for (platform, machine) in [("linux/amd64", 62), ("linux/arm64", 183), ("linux/arm64/v8", 183)] {
            let chain = ("/chain", chain(platform).unwrap());
            for (path, program) in programs(platform).unwrap().into_iter().chain([chain]) {
                assert_eq!((&program[..4], program[18]), (&b"\x7fELF"[..], machine), "{platform} {path}");
                assert!(program.len() <= 10_000, "{platform} {path}: {} bytes", program.len());
            }
        }
    }

    #[test]
    fn another_architecture_is_told_so() {
        let error = programs("linux/s390x").unwrap_err().to_string();
        assert!(chain("linux/s390x").is_none());
        assert!(error.contains("linux/s390x") && error.contains("amd64 and arm64"), "{error}");
    }
}
