//! Random graphs, edits, failures, kills and evictions, against a simple model: what must run, what may, and whose
//! results are seen.

mod expected;
mod graph;
mod world;

use proptest::test_runner::{Config, RngSeed, TestRunner};

use graph::Case;
use world::World;

/// The cases are the same each time, unless `BOWLINE_TESTS_SEED` is another number; with `BOWLINE_TESTS_LONG` there are
/// more.
#[test]
fn what_runs_and_what_is_seen_is_what_a_simple_model_says() {
    let seed = std::env::var("BOWLINE_TESTS_SEED").ok().map_or(1, |seed| seed.parse().expect("a number"));
    let is_docker = bowline_tests::inspector().names_images();
    let cases = match (is_docker, std::env::var_os("BOWLINE_TESTS_LONG").is_some()) {
        (true, false) => 4,
        (true, true) => 40,
        (false, false) => 20,
        (false, true) => 300,
    };
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    };
    let run = |case: Case| {
        let mut world = World::new(case.graph, is_docker);
        for action in case.actions {
            world.act(action);
        }
        Ok(())
    };
    if let Err(error) = TestRunner::new(config).run(&graph::cases(if is_docker { 6 } else { 8 }), run) {
        panic!("BOWLINE_TESTS_SEED={seed}: {error}");
    }
}
