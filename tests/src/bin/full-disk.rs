//! Pipelines whose engine keeps everything on a small disk, each in a process of its own. `NONCE` parts one test's from
//! another's, and `SCRATCH` is a directory on another disk. What they find they print, a line each.

use std::path::PathBuf;

use bowline::prelude::*;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn busybox() -> Container {
    Container::from_image("busybox:1.35").env("NONCE", variable("NONCE"))
}

/// What a step leaves that writes so many MiB into its file system.
fn writes(mebibytes: u32) -> Container {
    busybox().shell(format!("dd if=/dev/zero of=/big bs=1M count={mebibytes}"))
}

fn archive() -> PathBuf {
    PathBuf::from(variable("SCRATCH")).join("image.tar")
}

fn from_archive() -> Container {
    Container::from_image(format!("docker-archive:{}", archive().display()))
}

fn in_cache(script: &str) -> Container {
    let cache = CacheVolume::new(format!("test-{}", variable("NONCE")));
    busybox().mount("/cache", &cache).shell(script)
}

/// So much output that where it is kept matters: 12 MiB.
fn loud() -> Container {
    busybox().shell("head -c 12m /dev/zero")
}

/// A directory of this machine with 20 MiB in it.
fn large_directory() -> Container {
    let directory = PathBuf::from(variable("SCRATCH")).join("large");
    std::fs::create_dir_all(&directory).expect("there is space elsewhere");
    std::fs::write(directory.join("file"), vec![7; 20 << 20]).expect("there is space elsewhere");
    let path = directory.to_str().expect("it is text").to_owned();
    busybox().copy("/in", Directory::from(host(path))).exec(["test", "-s", "/in/file"])
}

/// Prints how something ended: of an error, whether it says why.
fn tell<T>(what: &str, result: Result<T>) {
    match result {
        Ok(_) => println!("{what}: done"),
        // Engines write it in small letters.
        Err(error) if error.to_string().to_lowercase().contains("no space left on device") => {
            println!("{what}: no space");
        }
        Err(error) => println!("{what}: {error}"),
    }
}

#[bowline::main]
async fn main() -> Result<()> {
    for stage in std::env::args().skip(1) {
        match stage.as_str() {
            "make-archive" => tell(&stage, writes(30).export_image(archive()).await),
            "too-large" => tell(&stage, writes(400).sync().await),
            "small" => tell(&stage, writes(1).sync().await),
            "cache" => tell(&stage, in_cache("dd if=/dev/zero of=/cache/big bs=1M count=45").sync().await),
            "too-large-cache" => {
                tell(&stage, in_cache("dd if=/dev/zero of=/cache/more bs=1M count=400").sync().await);
            }
            "image" => tell(&stage, from_archive().exec(["test", "-s", "/big"]).sync().await),
            "directory" => tell(&stage, large_directory().sync().await),
            "loud" => tell(&stage, loud().sync().await),
            "loud-length" => println!("{stage}: {}", loud().stdout().await?.len()),
            "empty-cache" => tell(&stage, in_cache("rm /cache/*").sync().await),
            "prune" => tell(&stage, bowline::prune(bowline::Prune::all()).await),
            other => panic!("no such stage: {other}"),
        }
    }
    Ok(())
}
