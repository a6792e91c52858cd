//! Connections through TLS, configured as for the command line: a directory has the authorities that engines are checked
//! against (`ca.pem`), and the client's own certificate (`cert.pem`, `key.pem`).

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::regular::{self, DOCUMENT_AT_MOST};

/// The configuration of connections, read once for all of them.
#[derive(Clone)]
pub(in super::super) struct Connector {
    tls: TlsConnector,
    /// The name that the engine's certificate must have.
    name: ServerName<'static>,
    known: Arc<Known>,
}

/// Details for the error of a failed connection.
#[derive(Debug)]
struct Known {
    /// Where the authorities come from.
    authorities: String,
    /// Why the engine is shown no client certificate, if it is not.
    unshown: Option<String>,
}

impl Connector {
    /// Reads the certificates in a directory; any of them may be missing.
    pub(in super::super) async fn read(directory: Option<PathBuf>, address: &str) -> Result<Self, String> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name of a machine"))?;
        let read = tokio::task::spawn_blocking(move || config(directory.as_deref()));
        let (config, known) = read.await.map_err(|_| "the certificates could not be read".to_owned())??;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), name, known: Arc::new(known) })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
        match self.tls.connect(self.name.clone(), stream).await {
            Ok(inner) => Ok(Stream { inner, known: Arc::clone(&self.known), is_heard: false }),
            Err(error) => Err(self.known.explain(error)),
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.name)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

fn config(directory: Option<&Path>) -> Result<(ClientConfig, Known), String> {
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Err(format!(
            "{}: there is no such directory, where certificates should be",
            directory.display()
        ));
    }
    let file = |name| Part::read(directory, name);
    let (authorities, from) = match file("ca.pem")? {
        Some(file) => (file.authorities()?, file.path.display().to_string()),
        None => (system_authorities()?, "this system".to_owned()),
    };
    // Named explicitly, as there is no default if two providers are compiled in.
    let provider =
        CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config =
        config.map_err(|error| format!("TLS cannot be spoken: {error}"))?.with_root_certificates(authorities);
    let (config, unshown) = match (file("cert.pem")?, file("key.pem")?) {
        (Some(certificate), Some(key)) => {
            let shown = config.with_client_auth_cert(certificate.certificates()?, key.key()?);
            let failed =
                |error| format!("{} and {}: {error}", certificate.path.display(), key.path.display());
            (shown.map_err(failed)?, None)
        }
        (certificate, _) => {
            let missing = if certificate.is_some() { "key.pem" } else { "cert.pem" };
            let place = directory.map_or_else(
                || "there is no directory of certificates".to_owned(),
                |directory| format!("there is no {}", directory.join(missing).display()),
            );
            (config.with_no_client_auth(), Some(place))
        }
    };
    Ok((config, Known { authorities: from, unshown }))
}

fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    if authorities.add_parsable_certificates(found.certs).0 == 0 {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = why.join("; ");
        return Err(format!("there is no ca.pem, and this system knows no authorities for TLS ({why})"));
    }
    Ok(authorities)
}

/// A file of the directory.
struct Part {
    path: PathBuf,
    text: Vec<u8>,
}

impl Part {
    /// `None` if the file is missing.
    fn read(directory: Option<&Path>, name: &str) -> Result<Option<Self>, String> {
        let Some(path) = directory.map(|directory| directory.join(name)) else { return Ok(None) };
        match regular::read(&path, DOCUMENT_AT_MOST) {
            Ok(text) => Ok(Some(Self { path, text })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        let all = all.map_err(|error| format!("{}: {error}", self.path.display()))?;
        if all.is_empty() {
            return Err(format!("{}: there is no certificate in it", self.path.display()));
        }
        Ok(all)
    }

    /// The authorities that can be parsed: some are older than today's rules for certificates.
    fn authorities(&self) -> Result<RootCertStore, String> {
        let mut authorities = RootCertStore::empty();
        if authorities.add_parsable_certificates(self.certificates()?).0 == 0 {
            return Err(format!("{}: there is no certificate of an authority in it", self.path.display()));
        }
        Ok(authorities)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                format!("{}: there is no key in it that can be read without a password", self.path.display())
            }
            error => format!("{}: {error}", self.path.display()),
        })
    }
}

impl Known {
    /// Explains a certificate error, of either side.
    fn explain(&self, error: io::Error) -> io::Error {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let message = match (cause, &self.unshown) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => {
                format!("{error}; the authorities that it is held against are those of {}", self.authorities)
            }
            (Some(rustls::Error::InvalidMessage(_)), _) => {
                "it does not speak TLS; is it meant to? (unset DOCKER_TLS_VERIFY)".to_owned()
            }
            (_, Some(unshown)) => format!("{error}; it was shown no certificate, as {unshown}"),
            (_, None) => return error,
        };
        io::Error::new(error.kind(), message)
    }
}

/// A connection whose peer is verified.
pub(in super::super) struct Stream {
    inner: TlsStream<TcpStream>,
    known: Arc<Known>,
    /// Whether the engine has sent anything: it first reports what it thinks of the client certificate.
    is_heard: bool,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::task::ready!(Pin::new(&mut self.inner).poll_read(context, buffer));
        let is_first = !std::mem::replace(&mut self.is_heard, true);
        Poll::Ready(read.map_err(|error| if is_first { self.known.explain(error) } else { error }))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
