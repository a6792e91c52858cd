//! Whole pipelines that are killed, more often than there is time for each time.

use std::path::Path;

#[test]
fn sigkill_at_200_moments_leaves_nothing_after_ten_seconds() {
    if !bowline_tests::on_docker("its 200 moments take seconds, and are among the other tests") {
        return;
    }
    bowline_tests::kills::killed_at_moments(Path::new(env!("CARGO_BIN_EXE_pipeline")), 200);
}
