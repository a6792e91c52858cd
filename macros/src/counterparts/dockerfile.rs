//! Dockerfiles: their instructions, besides those that are keys of compose files too.

use super::{Row, rows};

rows! {
    "FROM" = ["image \"debian:12\";", "from base;"] "`from` starts from what another container left, as from a stage";
    "RUN" = ["exec [\"program\", \"argument\"];", "shell \"a && b\";"]
        "a service has no steps: run them in a `container base { ... }` and start it `from base;`";
    "CMD" = ["run [\"program\", \"argument\"];", "exec [\"program\", \"argument\"];"]
        "a container runs what its steps say, and nothing at its end";
    "LABEL" = ["label \"com.example.team\" = \"storage\";"] "one statement for each label";
    "MAINTAINER" = ["label \"org.opencontainers.image.authors\" = \"name\";"];
    "ENV" = ["env KEY = \"value\";"] "one statement for each variable, its value a Rust expression";
    "ADD" = ["copy src to \"/src\";"] "of a `dir` or `file`; archives are unpacked, and files fetched, by a step";
    "COPY" = ["copy src to \"/src\";"]
        "of a `dir` or `file`: `dir src = host(\"./src\");`, or of another container: `dir dist = \
         build.directory(\"/dist\");`";
    "VOLUME" = ["cache data;", "mount data at \"/data\";"];
    "WORKDIR" = ["workdir \"/path\";"];
    "ARG" = ["let version = 7;"] "or a parameter of the pipeline: `fn ci(version: &str) -> Ci;`";
    "ONBUILD" = []
        "what several containers do is a Rust function over the builder, or a container that they start `from`";
    "STOPSIGNAL" = ["stop \"SIGINT\";"];
    "SHELL" = ["exec [\"bash\", \"-c\", \"a | b\"];"] "`shell \"a | b\";` always runs `/bin/sh -c`";
}
