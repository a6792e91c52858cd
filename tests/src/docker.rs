//! What the Docker command line shows of a session.

use std::time::SystemTime;

use bowline::Session;

use crate::docker;

pub(crate) fn labelled(what: &str, session: &str) -> Vec<String> {
    let filter = format!("label=bowline.session={session}");
    let list = match what {
        "ps" => docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]),
        _ => docker(&["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]),
    };
    let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
    names.sort();
    names
}

pub(crate) fn running(session: &Session) -> Vec<String> {
    let filter = format!("label=bowline.session={}", session.id());
    docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
}

pub(crate) fn address(container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker(&["inspect", "--format", format, container]).trim().to_owned()
}

/// How many containers a session has created since a time, as the engine saw it; nobody saw it on the native one.
#[must_use]
pub fn created_since(session: &Session, since: SystemTime) -> Option<usize> {
    if crate::on_native() {
        return None;
    }
    let seconds = |time: SystemTime| {
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
    };
    let (since, until) = (seconds(since), seconds(SystemTime::now()));
    let session = format!("label=bowline.session={}", session.id());
    let events = docker(&[
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "type=container",
        "--filter",
        "event=create",
        "--filter",
        &session,
    ]);
    Some(events.lines().count())
}
