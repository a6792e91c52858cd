#![no_main]

use std::sync::LazyLock;

use bowline::fuzz::Jail;

static JAIL: LazyLock<Jail> = LazyLock::new(|| {
    let root = format!("/dev/shm/bowline-fuzz-{}", std::process::id());
    Jail::new(root.as_ref()).expect("root may change the root of a thread")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| JAIL.unpack(data));
