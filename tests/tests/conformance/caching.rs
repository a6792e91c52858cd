//! Results of earlier runs, taken or not, and stored or not.

use std::process::Command;

use bowline_tests::nonce;

struct Pipeline {
    nonce: String,
}

impl Pipeline {
    /// What a step and one that reads its file show, in a session of its own.
    #[track_caller]
    fn shows(&self, flags: &[&str], variable: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.args(["run", "random", "reread", "-o", "-q", "--nonce", &self.nonce]).args(flags);
        let output = command.env("BOWLINE_CACHE", variable).env_remove("BOWLINE_PROGRESS").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1], "one run of it in a session: {said}");
        lines[0].to_owned()
    }

    fn with(&self, mode: &str) -> String {
        self.shows(&["--cache", mode], "")
    }
}

#[test]
fn results_are_taken_and_stored_as_it_is_asked_for() {
    let pipeline = Pipeline { nonce: nonce() };
    let first = pipeline.shows(&[], "");
    assert_eq!(pipeline.with("on"), first);
    assert_eq!(pipeline.with("read"), first);
    let other = pipeline.with("off");
    assert_ne!(other, first);
    assert_eq!(pipeline.with("on"), first, "`off` has stored nothing");
    // The variable says the same, and the flag more.
    assert_ne!(pipeline.shows(&[], "off"), first);
    assert_eq!(pipeline.shows(&["--cache", "on"], "off"), first);

    let renewed = pipeline.with("refresh");
    assert_ne!(renewed, first);
    assert_eq!(pipeline.with("on"), renewed, "it is in the place of the earlier one");
    assert_ne!(pipeline.shows(&[], "refresh"), renewed);

    let unknown = Pipeline { nonce: nonce() };
    assert_ne!(unknown.with("read"), unknown.with("read"), "nothing is stored");
}
