//! Helpers for the tests of every engine.

use std::sync::{Arc, Mutex};

use super::{
    Engine, Filesystem, Finished, Image, InstanceId, Kept, Link, Process, Recording, ServiceSpec, Sink,
    StepOutput, StepSpec,
};
use crate::lock::lock;
use crate::model::{Digest, ImageName, Snapshot, Stream};

/// A sink that records what it receives.
pub(super) fn recorder() -> (Sink, Arc<Mutex<StepOutput>>) {
    let heard = Arc::new(Mutex::new(StepOutput::default()));
    let into = Arc::clone(&heard);
    let sink: Sink = Arc::new(move |stream, bytes| {
        let mut heard = lock(&into);
        match stream {
            Stream::Stdout => heard.stdout.extend_from_slice(bytes),
            Stream::Stderr => heard.stderr.extend_from_slice(bytes),
        }
    });
    (sink, heard)
}

/// The output of a step as an engine stored it.
pub(super) async fn heard(recording: &Recording) -> StepOutput {
    let stdout = recording.stdout.here().await.unwrap().to_vec().unwrap();
    let stderr = recording.stderr.here().await.unwrap().to_vec().unwrap();
    StepOutput { stdout, stderr, exit_code: recording.exit_code }
}

pub(super) fn nothing() -> Sink {
    Arc::new(|_, _| {})
}

pub(super) async fn image(engine: &dyn Engine, reference: &str) -> Image {
    engine.resolve(&ImageName::new(reference), &|_| {}).await.unwrap()
}

/// Runs a step to its end and returns its output.
pub(super) async fn run(engine: &dyn Engine, step: StepSpec) -> (Box<dyn Finished>, StepOutput) {
    let (sink, heard) = recorder();
    let finished = engine.prepare(step).await.unwrap().run(sink).await.unwrap();
    let heard = lock(&heard).clone();
    let output = StepOutput { exit_code: finished.exit().code, ..heard };
    (finished, output)
}

/// Keeps a step with its files.
pub(super) async fn keep(finished: Box<dyn Finished>, key: Digest, output: Recording) -> Snapshot {
    let stored = finished.keep(key, output, Vec::new()).await.unwrap();
    stored.files.snapshot().await.unwrap().expect("its files are there")
}

/// The files of a result.
pub(super) async fn files(kept: &Kept) -> Snapshot {
    kept.files.snapshot().await.unwrap().expect("its files are there")
}

pub(super) fn process(args: &[&str]) -> Process {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Process {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec![("PATH".to_owned(), path.to_owned())],
        ..Default::default()
    }
}

pub(super) fn filesystem(base: &Snapshot) -> Filesystem {
    Filesystem { base: base.clone(), placements: Vec::new(), mounts: Vec::new() }
}

pub(super) fn step(base: &Snapshot, args: &[&str]) -> StepSpec {
    StepSpec {
        name: "test".to_owned(),
        filesystem: filesystem(base),
        process: Some(process(args)),
        stdin: None,
        limit: None,
        links: Vec::new(),
        terminal: None,
        is_taken_over: false,
    }
}

/// A step that runs a shell script.
pub(super) fn script(base: &Snapshot, script: &str) -> StepSpec {
    step(base, &["sh", "-c", script])
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn service(base: &Snapshot, hostname: &str, args: &[&str]) -> ServiceSpec {
    ServiceSpec {
        name: "test".to_owned(),
        instance: instance(hostname),
        filesystem: filesystem(base),
        process: process(args),
        links: Vec::new(),
    }
}

pub(super) fn link(hostname: &str, alias: &str) -> Link {
    Link { instance: instance(hostname), names: vec![alias.to_owned(), hostname.to_owned()] }
}

/// The only instance of a service with this host name.
pub(super) fn instance(hostname: &str) -> InstanceId {
    InstanceId { hostname: hostname.into(), key: Digest(crate::sha256::Sha256::digest(hostname)) }
}
