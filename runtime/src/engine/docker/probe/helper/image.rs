//! The helper's program, and the image that it is for an engine.

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::super::super::failure::{self, BRIEF, during, within};
use crate::{Error, Result};

/// Where the program is in its image.
pub(in super::super::super) const PROGRAM: &str = "/probe";

const WHAT: &str = "put the image of the prober (5 kB) into the engine";

/// The name of the image for an engine of this platform, once the image is there.
pub(in super::super::super) async fn ready(client: &bollard::Docker, platform: &str) -> Result<String> {
    /// Two at once would leave an image without a name behind.
    static IMPORTING: Mutex<()> = Mutex::const_new(());

    let program = program(platform)?;
    let tag = data_encoding::HEXLOWER.encode(&Sha256::digest(program)[..6]);
    let name = format!("bowline/probe:{tag}");
    let _one = IMPORTING.lock().await;
    match within(BRIEF, client.inspect_image(&name)).await {
        Ok(_) => return Ok(name),
        Err(error) if failure::is_absent(&error) => {}
        Err(error) => return Err(during(WHAT)(error)),
    }
    let options = CreateImageOptionsBuilder::default().from_src("-").repo("bowline/probe").tag(&tag).build();
    let layer = bollard::body_full(layer(program).map_err(|error| Error::engine(WHAT, error))?.into());
    let imported = client.create_image(Some(options), Some(layer), None).try_for_each(|_| async { Ok(()) });
    within(BRIEF, imported).await.map_err(during(WHAT))?;
    Ok(name)
}

/// The program for a platform, as engines call them: `linux/amd64`, `linux/arm64/v8`.
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

/// A root directory with nothing but the program in it. The same bytes each time.
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
