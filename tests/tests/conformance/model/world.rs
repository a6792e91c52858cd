//! Programs that are run, and what they show, held against what is known of earlier ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bowline_tests::{docker, images_of, nonce};
use serde_json::{Value, json};

use super::expected::{Expected, Known, Results};
use super::graph::{Action, Graph, Want};

pub(super) struct World {
    home: tempfile::TempDir,
    nonce: String,
    graph: Graph,
    results: Results,
    /// Whether the engine keeps some results without their files.
    is_docker: bool,
    has_lost_records: bool,
    /// The digests of the last steps of nodes, as far as they have begun to run.
    last: BTreeSet<String>,
    /// Everything done so far, for whoever reads of a failure.
    story: Vec<String>,
}

/// What a program did.
#[derive(Debug, Default)]
struct Seen {
    /// How often a step of each node ran.
    started: BTreeMap<usize, usize>,
    /// The nodes whose last step has a result, found or made and stored.
    succeeded: BTreeSet<usize>,
    /// What came of each thing that was wanted.
    came: Vec<Result<String, String>>,
}

impl World {
    pub(super) fn new(graph: Graph, is_docker: bool) -> Self {
        let (home, nonce) = (tempfile::tempdir().unwrap(), format!("model-{}", nonce()));
        Self {
            home,
            nonce,
            graph,
            results: Results::new(),
            is_docker,
            has_lost_records: false,
            last: BTreeSet::new(),
            story: Vec::new(),
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        let fit = |graph: &Graph, wants: Vec<Want>| -> Vec<Want> {
            wants.into_iter().map(|want| graph.want(want)).collect()
        };
        self.story.push(format!("{action:?}"));
        match action {
            Action::Edit(node, change) => self.graph.change(node, change),
            Action::See(wants) => {
                let wants = fit(&self.graph, wants);
                let output = self.start(&wants).see();
                let seen = self.seen(&output);
                self.judge(&[wants], &[seen]);
            }
            Action::Together(one, other) => {
                let wants = [fit(&self.graph, one), fit(&self.graph, other)];
                let programs = [self.start(&wants[0]), self.start(&wants[1])];
                let outputs = programs.map(Program::see);
                // What one of them has begun the other may have found.
                for output in &outputs {
                    self.learn_last(output);
                }
                let seen = outputs.map(|output| self.seen(&output));
                self.judge(&wants, &seen);
            }
            Action::Kill(wants, after) => {
                let wants = fit(&self.graph, wants);
                let program = self.start(&wants);
                // Most of what is wanted has run by then, if anything has to.
                let time = Duration::from_millis(if self.is_docker { 3000 } else { 600 });
                std::thread::sleep(time * after / 1000);
                let output = program.kill();
                let seen = self.seen(&output);
                self.forget_after(&wants, &seen);
            }
            Action::Evict(which) => self.evict(which),
        }
    }

    fn start(&mut self, wants: &[Want]) -> Program {
        let wants: Vec<Value> =
            wants.iter().map(|want| json!([want.node, if want.file { "file" } else { "output" }])).collect();
        let graph = json!({ "nodes": self.graph.nodes, "wants": wants }).to_string();
        self.story.push(graph.clone());
        let mut command = Command::new(env!("CARGO_BIN_EXE_graphs"));
        command.env("GRAPH", graph).env("NONCE", &self.nonce).env("BOWLINE_HOME", self.home.path());
        command.env("BOWLINE_PROGRESS", "json").stdin(Stdio::null());
        Program(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Only the last step of a node writes what is wanted of it.
    fn learn_last(&mut self, output: &Output) {
        for (node, event) in steps(output).filter(|(_, event)| event["event"] == "started") {
            if event["args"].to_string().contains(&format!("tee /n{node}")) {
                self.last.insert(event["digest"].to_string());
            }
        }
    }

    fn seen(&mut self, output: &Output) -> Seen {
        self.learn_last(output);
        let mut seen = Seen::default();
        for (node, event) in steps(output) {
            if event["event"] == "started" {
                *seen.started.entry(node).or_insert(0) += 1;
            }
            let is_last = self.last.contains(&event["digest"].to_string());
            if is_last && event["event"] == "closed" && event["outcome"] == "succeeded" {
                seen.succeeded.insert(node);
            }
        }
        seen.came = lines(&output.stdout)
            .map(|line| match (&line["seen"], &line["error"]) {
                (Value::String(seen), _) => Ok(seen.clone()),
                (_, error) => Err(error.as_str().expect("one of both").to_owned()),
            })
            .collect();
        seen
    }

    /// What programs did that ran at once has to be what was to be expected, and is known from then on.
    fn judge(&mut self, wants: &[Vec<Want>], seen: &[Seen]) {
        let story = || format!("{}\n{seen:#?}", self.story.join("\n"));
        let all = wants.concat();
        let expected = Expected::of(&self.graph, &self.results, &all);
        let mut started = BTreeMap::new();
        for (&node, &times) in seen.iter().flat_map(|seen| &seen.started) {
            *started.entry(node).or_insert(0) += times;
        }
        for (node, &times) in &started {
            let is_expected = expected.must.contains(node) || expected.may.contains(node);
            assert!(is_expected, "n{node} ran, and need not: {expected:?}\n{}", story());
            let at_most = expected.at_most[node];
            assert!(times <= at_most, "n{node} ran {times} times: {expected:?}\n{}", story());
        }
        let missing: Vec<_> = expected.must.iter().filter(|node| !started.contains_key(node)).collect();
        assert!(missing.is_empty(), "{missing:?} did not run: {expected:?}\n{}", story());

        // By node, in the order in which they were seen.
        let mut runs: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (wants, seen) in wants.iter().zip(seen) {
            assert_eq!(wants.len(), seen.came.len(), "{}", story());
            for (want, came) in wants.iter().zip(&seen.came) {
                let failing = self.graph.closure(want.node);
                let failing: Vec<_> =
                    failing.into_iter().filter(|&node| self.graph.nodes[node].fails).collect();
                match came {
                    Ok(output) => {
                        assert!(failing.is_empty(), "n{} cannot succeed\n{}", want.node, story());
                        let seen_runs = self.read(want.node, output).unwrap_or_else(|wrong| {
                            panic!("n{} wrote {output}: {wrong}\n{}", want.node, story())
                        });
                        for (node, run) in seen_runs {
                            let runs = runs.entry(node).or_default();
                            if !runs.contains(&run) {
                                runs.push(run);
                            }
                        }
                        last.insert(want.node, output.clone());
                    }
                    Err(error) => {
                        let names = failing.iter().any(|node| error.contains(&format!("n{node}")));
                        assert!(names, "n{} failed by none of {failing:?}: {error}\n{}", want.node, story());
                    }
                }
            }
        }
        // Where the record of a result was lost, nobody knows that what lies before it has run again.
        for (node, runs) in runs.iter().filter(|_| !self.has_lost_records) {
            let known = self.results.get(&self.graph.key(*node));
            // One that was found may be seen before another has taken its place.
            let before = known.is_some_and(|known| known.output.is_some() || !known.is_certain);
            let at_most = started.get(node).copied().unwrap_or(0).max(1)
                + usize::from(before && started.contains_key(node));
            assert!(runs.len() <= at_most, "n{node} was seen in {runs:?}\n{}", story());
            if let Some(Known { is_certain: true, run: Some(run), .. }) = known
                && !started.contains_key(node)
            {
                assert!(
                    *runs == [run.clone()],
                    "n{node} is of another run than {run}: {runs:?}\n{}",
                    story()
                );
            }
        }
        self.story.push(format!("{seen:?}"));
        self.learn(&all, seen, &expected, &runs, &last);
    }

    fn learn(
        &mut self,
        wants: &[Want],
        seen: &[Seen],
        expected: &Expected,
        runs: &BTreeMap<usize, Vec<String>>,
        last: &BTreeMap<usize, String>,
    ) {
        let started: BTreeSet<usize> = seen.iter().flat_map(|seen| seen.started.keys().copied()).collect();
        let succeeded: BTreeSet<usize> =
            seen.iter().flat_map(|seen| seen.succeeded.iter().copied()).collect();
        self.doubt_what_is_made_of(&started);
        for &node in &succeeded {
            let key = self.graph.key(node);
            let made_of = self.graph.closure(node).into_iter().map(|node| self.graph.key(node)).collect();
            let ran = started.contains(&node);
            let is_doubtful = self.graph.closure(node).into_iter().any(|earlier| {
                earlier != node && started.contains(&earlier) && expected.may.contains(&earlier)
            });
            let known = self.results.entry(key).or_default();
            known.made_of = made_of;
            // Whether it was found before, or made after, what it is made of was made again is not told apart.
            known.is_certain = !is_doubtful;
            if ran {
                (known.run, known.output, known.has_files) = (None, None, !self.is_docker);
            }
            // Of what ran once more, the one that was seen may be the one before.
            let is_told = !ran || expected.must.contains(&node);
            let unambiguous = runs.get(&node).filter(|runs| is_told && runs.len() == 1);
            if let Some(runs) = unambiguous {
                known.run = Some(runs[0].clone());
                known.output = last.get(&node).cloned().or(known.output.take());
            }
        }
        for want in wants.iter().filter(|want| want.file && succeeded.contains(&want.node)) {
            self.results.entry(self.graph.key(want.node)).or_default().has_files = true;
        }
        for node in started.difference(&succeeded) {
            if !self.graph.nodes[*node].fails {
                self.doubt(*node);
            }
        }
    }

    /// Of what a killed program wanted nobody knows what it has stored.
    fn forget_after(&mut self, wants: &[Want], seen: &Seen) {
        let expected = Expected::of(&self.graph, &self.results, wants);
        let began: BTreeSet<usize> = expected.must.union(&expected.may).copied().collect();
        self.doubt_what_is_made_of(&began);
        for node in began {
            if self.graph.is_doomed(node) {
                continue;
            }
            self.doubt(node);
            if seen.succeeded.contains(&node) && expected.must.contains(&node) {
                // It has been said that it is stored: that holds.
                self.results.entry(self.graph.key(node)).or_default().is_certain = expected.may.is_empty();
            }
        }
    }

    fn doubt(&mut self, node: usize) {
        let made_of = self.graph.closure(node).into_iter().map(|node| self.graph.key(node)).collect();
        let known = Known { made_of, ..Known::default() };
        self.results.insert(self.graph.key(node), known);
    }

    /// What is made of something that has run again does not count any more.
    fn doubt_what_is_made_of(&mut self, again: &BTreeSet<usize>) {
        let keys: BTreeSet<u64> = again.iter().map(|&node| self.graph.key(node)).collect();
        for (key, known) in &mut self.results {
            if keys.contains(key) || known.made_of.iter().any(|made_of| keys.contains(made_of)) {
                known.is_certain = false;
                known.has_files = false;
                known.run = None;
            }
        }
    }

    fn evict(&mut self, which: u64) {
        self.has_lost_records = true;
        let mut random = which;
        // Of a linear congruential generator (Knuth's MMIX) the upper bits.
        let mut one_of = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        for known in self.results.values_mut() {
            (known.is_certain, known.has_files, known.run) = (false, false, None);
            if self.is_docker
                && let Some(output) = &known.output
                && one_of(3) == 0
            {
                for image in images_of(&format!("{output}\n")) {
                    // Others may be made of it: then only its name is gone.
                    let _ = docker(&["image", "rm", "--force", &image]);
                }
            }
        }
        for record in self.records() {
            let contents = fs::read(&record).unwrap();
            match one_of(5) {
                0 => fs::remove_file(&record).unwrap(),
                1 => fs::write(&record, &contents[..contents.len() / 2]).unwrap(),
                2 => fs::write(&record, b"").unwrap(),
                _ => {}
            }
        }
    }

    /// The files that results are recorded in.
    fn records(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.home.path().to_owned()];
        while let Some(directory) = left.pop() {
            let name = directory.file_name().unwrap_or_default().to_owned();
            for entry in fs::read_dir(&directory).into_iter().flatten().map(Result::unwrap) {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    // File systems of containers.
                    if name != "layers" && name != "scratch" {
                        left.push(path);
                    }
                } else if path.extension().is_some_and(|kind| kind == "step") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// The runs that an output names, by node: whether it is that of a node, and each node's in it is of one run.
    fn read(&self, node: usize, output: &str) -> Result<BTreeMap<usize, String>, String> {
        let (mut runs, mut rest) = (BTreeMap::new(), output);
        self.term(node, &mut rest, &mut runs)?;
        if rest.is_empty() { Ok(runs) } else { Err(format!("more than one: {rest}")) }
    }

    fn term(&self, index: usize, rest: &mut &str, runs: &mut BTreeMap<usize, String>) -> Result<(), String> {
        let node = &self.graph.nodes[index];
        let head = format!("{index}.{}.", node.version);
        let (run, inner) = rest
            .strip_prefix(head.as_str())
            .and_then(|rest| rest.split_once('('))
            .ok_or_else(|| format!("{head} was expected at {rest}"))?;
        *rest = inner;
        let known = runs.entry(index).or_insert_with(|| run.to_owned());
        if known != run && !self.has_lost_records {
            return Err(format!("n{index} of two runs"));
        }
        for part in node.parts() {
            self.term(part, rest, runs)?;
        }
        *rest = rest.strip_prefix(')').ok_or_else(|| format!("`)` was expected at {rest}"))?;
        Ok(())
    }
}

struct Program(Child);

impl Program {
    fn see(self) -> Output {
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        output
    }

    fn kill(mut self) -> Output {
        let _ = self.0.kill();
        self.0.wait_with_output().unwrap()
    }
}

/// The steps of nodes in what a program says, with their nodes.
fn steps(output: &Output) -> impl Iterator<Item = (usize, Value)> {
    lines(&output.stderr).filter(|event| event["subject"] == "step").filter_map(|event| {
        let node = event["name"].as_str()?.strip_prefix('n')?.parse().ok()?;
        Some((node, event))
    })
}

/// Lines of JSON; of the last one there may be less, where a program was killed.
fn lines(text: &[u8]) -> impl Iterator<Item = Value> {
    text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}
