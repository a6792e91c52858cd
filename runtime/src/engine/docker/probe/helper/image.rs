//! The helper's program, and its image in an engine.

use super::super::super::own::Own;
use crate::{Error, Result};

/// The program's path in its image.
pub(in super::super::super) const PROGRAM: &str = "/probe";

const WHAT: &str = "put the image of the prober (5 kB) into the engine";

/// The id of the image for an engine of this platform, once the engine has it.
pub(in super::super::super) async fn ready(client: &bollard::Docker, platform: &str) -> Result<String> {
    let layer = layer(program(platform)?).map_err(|error| Error::engine(WHAT, error))?;
    Own::new("bowline/probe", WHAT, layer).ready(client).await
}

/// The program for a platform, as engines name them: `linux/amd64`, `linux/arm64/v8`.
fn program(platform: &str) -> Result<&'static [u8]> {
    match platform.split('/').nth(1) {
        Some("amd64" | "x86_64") => Ok(include_bytes!("../../helper/probe-x86_64")),
        Some("arm64" | "aarch64") => Ok(include_bytes!("../../helper/probe-aarch64")),
        _ => Err(Error::engine(
            "probe a service",
            format!(
                "its address cannot be reached from here, and the program that would probe it from within its network \
                 exists for amd64 and arm64 only; the engine's platform is `{platform}`\n\n\
                 help: mark the service's ports as unprobed and give it `ready exec` or `ready log`"
            ),
        )),
    }
}

/// A root directory that contains only the program. The same bytes each time.
fn layer(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    header.set_mtime(0);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, PROGRAM.trim_start_matches('/'), program)?;
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_program() {
        // The machine that an ELF header names: 62 is x86-64, 183 AArch64.
        for (platform, machine) in [("linux/amd64", 62), ("linux/arm64", 183), ("linux/arm64/v8", 183)] {
            let program = program(platform).unwrap();
            assert_eq!((&program[..4], program[18]), (&b"\x7fELF"[..], machine), "{platform}");
            assert!(program.len() <= 10_000, "{platform}: {} bytes", program.len());
        }
    }

    #[test]
    fn another_architecture_is_told_so() {
        let error = program("linux/s390x").unwrap_err().to_string();
        assert!(error.contains("linux/s390x") && error.contains("amd64 and arm64"), "{error}");
    }
}
