//! What CI systems configure in YAML: GitHub Actions and GitLab, besides words that compose files and Dockerfiles have
//! too.

use super::{Row, rows};

rows! {
    // Both.
    "jobs" = ["container test { ... }"]
        "each job is a container of its own, and what is independent runs side by side";
    "job" = ["container test { ... }"];
    "needs" = ["after build;", "from build;"]
        "files of another container come by `dir dist = build.directory(\"/dist\");`";
    "cache" = ["cache pip;", "mount pip at \"/root/.cache/pip\";"] "steps are cached without being told to";
    "artifacts" = ["export \"/dist/\" as dist;"]
        "the program writes them: `p.build.dist().save_to(\"./dist\")`, and other containers `copy` them";
    "container" = ["image \"node:20\";"];
    "if" = ["if condition { ... }"] "it stands around items or statements, as in Rust";
    "on" = [] "a pipeline runs when its program does: the CI system, or a person, calls `cargo run`";
    // GitHub Actions.
    "steps" = ["exec [\"make\", \"test\"];", "shell \"make | tee log\";"] "one statement for each step";
    "runs-on" = ["image \"debian:12\";"] "a step runs in a container, on whichever machine the program does";
    "uses" = []
        "call a Rust function that returns a `Container` or `Service`, and import it: `container build = \
         rust::build();`";
    "with" = [] "what a function is given are its arguments: `container build = rust::build(\"1.88\");`";
    "matrix" | "strategy" = ["for version in [\"7\", \"8\"] { ... }"];
    "fail-fast" = [] "who awaits several results decides: `try_join!` ends at the first failure, `join!` does not";
    "max-parallel" = [] "what is awaited together runs side by side; `limit cpu 2.0;` limits each container";
    "timeout-minutes" = ["exec [\"make\"] { timeout \"10m\"; }"];
    "continue-on-error" = ["exec [\"make\"] { expect any; }"];
    "working-directory" = ["workdir \"/path\";"];
    "outputs" = []
        "a container's results are methods: `p.build.stdout().await?`, and `export \"/dist/\" as dist;` names a \
         file or directory";
    "defaults" = ["from base;"] "what several containers share is a container that they start `from`";
    "permissions" = []
        "a program has the rights of whoever runs it; a container has those that `cap` and `user` give it";
    "concurrency" = []
        "what is awaited together runs side by side; a cache that a service writes to has one owner at a time";
    "credentials" = [] "images are pulled with the credentials of `docker login`";
    "options" = []
        "what `docker run` takes are statements: `limit memory \"512MiB\";`, `cap add \"NET_ADMIN\";`, `ready exec \
         [...];`";
    // GitLab.
    "script" = ["exec [\"make\", \"test\"];", "shell \"make | tee log\";"] "one statement for each line";
    "before_script" = ["exec [\"make\", \"setup\"];", "shell \"make | tee log\";"]
        "they come first in the body, or stand in a container that others start `from`";
    "after_script" = ["exec [\"make\", \"report\"];", "shell \"make | tee log\";"]
        "they come last in the body, and run once those before have succeeded: `expect any;` goes on after a \
         failure";
    "stage" | "stages" = ["after build;"] "there are no stages: whatever needs nothing else runs at once";
    "dependencies" = ["copy dist to \"/dist\";"]
        "of another container's files: `dir dist = build.directory(\"/dist\");`";
    "variables" = ["env KEY = \"value\";", "let version = 7;"] "Rust's where only the pipeline needs them";
    "rules" | "only" | "except" | "when" = ["if condition { ... }"];
    "allow_failure" = ["exec [\"make\"] { expect any; }"];
    "retry" = [] "a step runs once; a loop in a `shell` tries again what may fail for a moment";
    "parallel" = ["for part in 1..=3 { ... }"] "what is awaited together runs side by side";
    "tags" = [] "containers run where the engine is: `DOCKER_HOST` and `DOCKER_CONTEXT` say which";
    "default" = ["from base;"] "what several containers share is a container that they start `from`";
    "workflow" = [] "a pipeline runs when its program does: the CI system, or a person, calls `cargo run`";
    "trigger" = [] "call the other pipeline's function";
    "interruptible" = [] "whoever drops a result cancels what runs for it alone";
    "resource_group" = [] "a cache that a service writes to has one owner at a time; other things take a Rust lock";
    "coverage" = [] "the program reads what a step writes: `p.test.stdout().await?`";
    "release" = [] "an image is published by `p.app.publish(\"registry.example/app:1.2\").await?`";
    "inherit" = ["from base;"];
    "id_tokens" = ["secret token = secret::env(\"ID_TOKEN\");", "env ID_TOKEN = &token;"];
}
