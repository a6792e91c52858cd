#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

static SCRATCH: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/bowline-fuzz-{}.tar", std::process::id())));

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline::fuzz::image_file(data, &SCRATCH));
