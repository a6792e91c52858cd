//! A pipeline that is given as JSON in `GRAPH`: `{"nodes": [{"base": 0, "copies": [1], "after": 2, "version": 0, "fails":
//! false, "slow": false, "before": 0}], "wants": [[3, "output"]]}`, each node made of earlier ones, and of so many steps
//! of its own before its last. What is wanted is asked for in
//! order, and a line of JSON says what came of each: `{"seen": "…"}` or `{"error": "…"}`. `NONCE` parts one test's steps
//! from another's.
//!
//! What a node writes names the run that wrote it and, in parentheses, what it is made of:
//! `3.0.6a1f…(0.0.77e0…()1.0.92cc…())`; the runs of its steps before are behind its own: `3.0.6a1f…+81d2…+09fe…(`.

use std::fmt::Write as _;

use bowline::prelude::*;
use serde_json::{Value, json};

#[bowline::main]
async fn main() -> Result<()> {
    let graph = std::env::var("GRAPH").expect("GRAPH is set");
    let graph: Value = serde_json::from_str(&graph).expect("GRAPH is JSON");
    let mut nodes: Vec<Container> = Vec::new();
    for (index, node) in graph["nodes"].as_array().expect("there are nodes").iter().enumerate() {
        let made = container(index, node, &nodes);
        nodes.push(made);
    }
    for want in graph["wants"].as_array().expect("something is wanted") {
        let index = index(&want[0]).expect("a node is wanted");
        let seen = if want[1] == "output" {
            nodes[index].stdout().await
        } else {
            nodes[index].file(format!("/n{index}")).contents().await
        };
        let line = match seen {
            Ok(seen) => json!({ "seen": seen.trim_end() }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        println!("{line}");
    }
    Ok(())
}

fn container(index: usize, node: &Value, earlier: &[Container]) -> Container {
    let mut script = format!(
        "t={index}.{}.$(cat /proc/sys/kernel/random/uuid); ",
        node["version"].as_u64().expect("a number")
    );
    let mut parts = String::new();
    let base = self::index(&node["base"]);
    let mut container = match base {
        Some(base) => {
            let _ = write!(parts, "$(cat /n{base})");
            Container::from_container(&earlier[base])
        }
        None => {
            Container::from_image("busybox:1.35").env("NONCE", std::env::var("NONCE").expect("NONCE is set"))
        }
    };
    for copied in node["copies"].as_array().expect("a list").iter().filter_map(self::index) {
        container = container.copy(format!("/c{copied}"), earlier[copied].file(format!("/n{copied}")));
        let _ = write!(parts, "$(cat /c{copied})");
    }
    if let Some(after) = self::index(&node["after"]) {
        container = container.after(&earlier[after]);
    }
    if node["slow"] == true {
        script += "sleep 0.3; ";
    }
    if node["fails"] == true {
        script += "exit 3; ";
    }
    for _ in 0..node["before"].as_u64().expect("a number") {
        let run = "$(cat /proc/sys/kernel/random/uuid)";
        container = container.shell(format!("echo \"$(cat /b{index} 2>/dev/null)+{run}\" > /b{index}"));
    }
    container
        .shell(format!("set -e; {script} t=\"$t$(cat /b{index} 2>/dev/null || true)\"; echo \"$t({parts})\" | tee /n{index}"))
        .named(format!("n{index}"))
}

fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|index| index.try_into().ok())
}
