//! What happens, as spans of OpenTelemetry's, sent to a receiver of them.

mod client;
mod sender;
mod settings;
mod spans;

use std::sync::Mutex;

use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;

use self::client::Client;
use self::sender::Sender;
use self::settings::Settings;
use self::spans::{Ended, Spans};
use super::record;
use super::stderr::say;
use crate::event::{self, Event, Observer};
use crate::lock::lock;
use crate::{Error, Result};

/// Sends what happens in this process's sessions, from now on, as spans to a receiver that speaks OTLP over HTTP, such as
/// the OpenTelemetry Collector or Jaeger. Call it before anything is awaited; a second call changes nothing. Needs the
/// feature `otel`.
///
/// Variables of OpenTelemetry's say where to, and how:
///
/// | variable | default | |
/// | --- | --- | --- |
/// | `OTEL_EXPORTER_OTLP_ENDPOINT` | `http://localhost:4318` | the receiver; `/v1/traces` is added to it |
/// | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | | the same in full, nothing is added |
/// | `OTEL_EXPORTER_OTLP_HEADERS` | | more headers, such as `authorization=Bearer%20…`, separated by commas |
/// | `OTEL_EXPORTER_OTLP_PROTOCOL` | `http/protobuf` | or `http/json` |
/// | `OTEL_EXPORTER_OTLP_COMPRESSION` | `none` | or `gzip` |
/// | `OTEL_EXPORTER_OTLP_TIMEOUT` | `10000` | for how long the receiver may take to answer, in milliseconds |
/// | `OTEL_SERVICE_NAME` | the program's name | `service.name` |
/// | `OTEL_RESOURCE_ATTRIBUTES` | | more attributes of the program: `key=value`, separated by commas |
/// | `OTEL_TRACES_EXPORTER` | `otlp` | `none`: nothing is sent |
/// | `OTEL_SDK_DISABLED` | `false` | `true`: nothing is sent |
///
/// What is there for traces alone is read first (`OTEL_EXPORTER_OTLP_TRACES_HEADERS`, and so on). Other variables, such as
/// those of sampling, batches and client certificates, are not read.
///
/// A session is a trace, unless `TRACEPARENT` names a span that it is a part of; its spans are what it does for the
/// program: requests, images, directories, steps, and runs of services. Processes in containers find their own span in
/// `TRACEPARENT`, so that theirs are parts of it. The guide has [the whole of it](crate::guide::reports#traces).
///
/// A span's attributes have the names of OpenTelemetry's semantic conventions, where there are such:
///
/// | attribute | |
/// | --- | --- |
/// | `cicd.pipeline.name`, `cicd.pipeline.run.id` | of a session: the program, and the session's name |
/// | `cicd.pipeline.result` | of a session: `failure` if something that the program awaited failed, else `success` |
/// | `cicd.pipeline.task.name`, `cicd.pipeline.task.run.id` | of a step: the item's name, and the step's digest |
/// | `cicd.pipeline.task.run.result` | of a step: `success`, `failure`, `skip` or `cancellation` |
/// | `container.image.name` | of an image: its reference |
/// | `server.address` | of a service: its host name |
/// | `process.command_args`, `process.exit.code` | of what is started |
/// | `error.type` | of what failed: its exit code, or `_OTHER` |
/// | `code.file.path`, `code.line.number` | where it is written |
/// | `bowline.kind` | `session`, `request`, `image`, `source`, `step`, `preparation` or `service` |
/// | `bowline.cached` | whether the result existed |
/// | `bowline.engine`, `bowline.engine.version`, `bowline.engine.platform` | of a session |
///
/// What has failed has the status `ERROR`, with the error. States, such as a service's `ready`, and what probes find are
/// events of the span; lines of output are not sent, and secrets are in nothing that is.
///
/// Sending delays nothing but the end of a session, which waits for the receiver for up to 1.5 s; further sessions do not
/// wait for one that was waited for in vain. Up to 2,048 spans wait to be sent; further ones are dropped. If the receiver
/// cannot be reached, a line on standard error says so.
///
/// ```no_run
/// use bowline::prelude::*;
///
/// #[bowline::main]
/// async fn main() -> Result<()> {
///     bowline::otel()?;
///     Container::from_image("debian:12").exec(["make"]).sync().await
/// }
/// ```
///
/// # Errors
/// [`Error::Invalid`] when a variable asks for what there is not, and [`Error::Engine`] when a thread cannot be started.
pub fn otel() -> Result<()> {
    static BEGUN: Mutex<bool> = Mutex::new(false);
    let mut begun = lock(&BEGUN);
    if !*begun {
        let settings =
            Settings::read(|name| std::env::var_os(name)).map_err(|message| Error::invalid(None, message))?;
        if let Some(settings) = settings.filter(|_| event::trace::is_sampled()) {
            begin(&settings)?;
        }
        *begun = true;
    }
    Ok(())
}

/// The same for a program whose code says nothing of it: where the environment names a receiver. What is wrong there is
/// no reason for the pipeline not to run.
#[cfg(feature = "cli")]
pub(crate) fn otel_if_asked() {
    if settings::is_asked_for(|name| std::env::var_os(name))
        && let Err(error) = otel()
    {
        say(&format!("bowline: no spans are sent: {error}"));
    }
}

fn begin(settings: &Settings) -> Result<()> {
    let failed = |error: &dyn std::error::Error| {
        Error::engine("start sending spans", crate::error::with_causes(error))
    };
    let client = Client::new(settings.timeout).map_err(|error| failed(&error))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_endpoint(settings.endpoint.as_str())
        .with_timeout(settings.timeout)
        // A receiver that is not there is known after half a second.
        .with_retry_policy(RetryPolicy::recommended().with_max_retries(2));
    let mut exporter = exporter.build().map_err(|error| Error::invalid(None, error.to_string()))?;
    exporter.set_resource(&resource());
    let sender = Sender::start(exporter, client, settings).map_err(|error| failed(&error))?;
    let observed = event::observe(Export { spans: Mutex::new(Spans::new(record::program())), sender });
    observed.map(drop).map_err(|error| failed(&error))?;
    event::trace::export();
    Ok(())
}

/// What the spans are of: the program, as the environment describes it.
fn resource() -> Resource {
    let of_environment = Resource::builder().build();
    let name = of_environment.get(&"service.name".into()).map(|name| name.to_string());
    if name.is_some_and(|name| !name.starts_with("unknown_service")) {
        return of_environment;
    }
    Resource::builder().with_service_name(record::program()).build()
}

struct Export {
    spans: Mutex<Spans>,
    sender: Sender,
}

impl Observer for Export {
    fn on_event(&self, event: &Event) {
        let ended = lock(&self.spans).follow(event);
        match ended {
            Ended::Nothing => {}
            Ended::Span(span) => self.sender.send(*span),
            Ended::Session(spans) => {
                for span in spans {
                    self.sender.send(span);
                }
                self.sender.flush();
            }
        }
    }
}
