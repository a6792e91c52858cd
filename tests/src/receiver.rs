//! A receiver of OpenTelemetry's, which takes spans by OTLP over HTTP and understands all of them.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receives {
    Everything,
    /// Takes requests and does not answer.
    Silently,
    /// Answers with this status.
    Nothing(u16),
}

/// A request, understood.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As OTLP writes it in JSON, whatever it came as.
    pub body: Value,
}

/// Listens at a port of 127.0.0.1 until the process ends.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn start(how: Receives) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
        let address = listener.local_addr().expect("its address");
        let receiver = Self { address, received: Arc::default() };
        let taken = receiver.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let taken = taken.clone();
                // A client that goes away is its own business.
                std::thread::spawn(move || taken.serve(&connection, how));
            }
        });
        receiver
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All spans, in the order in which they came.
    #[must_use]
    pub fn spans(&self) -> Vec<Value> {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let bodies = self.received().into_iter().flat_map(|received| list(&received.body, "resourceSpans"));
        let scopes = bodies.flat_map(|resource| list(&resource, "scopeSpans"));
        scopes.flat_map(|scope| list(&scope, "spans")).collect()
    }

    fn serve(&self, connection: &TcpStream, how: Receives) -> io::Result<()> {
        let mut reader = BufReader::new(connection);
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let Some((name, value)) = line.trim_end().split_once(':') else { break };
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
            let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let body = understood(&headers, &body)?;
            let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            received.push(Received { path, headers, body });
            drop(received);
            let status = match how {
                Receives::Everything => 200,
                Receives::Nothing(status) => status,
                Receives::Silently => continue,
            };
            let mut connection = connection;
            write!(connection, "HTTP/1.1 {status} As Told\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

fn understood(headers: &BTreeMap<String, String>, body: &[u8]) -> io::Result<Value> {
    let mut plain = Vec::new();
    match headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut plain)?,
        None => plain.write(body)?,
        Some(other) => return Err(io::Error::other(format!("content-encoding {other}"))),
    };
    match headers.get("content-type").map(String::as_str) {
        Some("application/json") => Ok(serde_json::from_slice(&plain)?),
        Some("application/x-protobuf") => {
            let request = ExportTraceServiceRequest::decode(&*plain).map_err(io::Error::other)?;
            Ok(serde_json::to_value(request)?)
        }
        other => Err(io::Error::other(format!("content-type {other:?}"))),
    }
}
