//! A repository of a registry: how it is reached, what it is shown, and what its refusals mean.

use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError as Refusal, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::routes::Host;
use crate::engine::credentials::{self, Credentials, Found};
use crate::error::with_causes;
use crate::{Error, Result};

const CONNECT: Duration = Duration::from_secs(10);

pub(super) struct Remote {
    pub(super) client: Client,
    pub(super) reference: Reference,
    pub(super) auth: RegistryAuth,
    /// `pull` or `push`.
    doing: &'static str,
    /// About the credentials, for when they are refused.
    note: String,
}

impl Remote {
    /// `rest` is what follows the registry in a reference. An answer that says nothing for as long as `silence` is given
    /// up.
    pub(super) async fn new(
        doing: &'static str,
        host: &Host,
        rest: &str,
        silence: Option<Duration>,
    ) -> Result<Self> {
        // Whoever chose another provider for the whole program keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = format!("{}/{}{rest}", host.name, host.prefix);
        let reference: Reference =
            text.parse().map_err(|error| Error::engine(format!("{doing} `{text}`"), error))?;
        let protocol = if host.is_plain { ClientProtocol::Http } else { ClientProtocol::Https };
        let client = Client::new(ClientConfig {
            protocol,
            read_timeout: silence,
            connect_timeout: Some(CONNECT),
            user_agent: concat!("bowline/", env!("CARGO_PKG_VERSION")),
            // One request a blob, as containerd sends it: not every registry takes a blob in chunks.
            use_monolithic_push: true,
            ..ClientConfig::default()
        });
        let Found { credentials, note } = credentials::find(&text).await;
        let (auth, note) = shown(credentials.unwrap_or_default(), note);
        Ok(Self { client, reference, auth, doing, note })
    }

    /// What a refusal means, whatever was asked for.
    pub(super) fn refusal(&self, reference: &str, error: &Refusal) -> Error {
        let message = with_causes(error);
        let is_of_rights = matches!(status(error), Some(401 | 403))
            || matches!(error, Refusal::UnauthorizedError { .. } | Refusal::AuthenticationFailure(_))
            || says(error, &[OciErrorCode::Unauthorized, OciErrorCode::Denied]);
        if is_of_rights {
            let (reference, message) = (reference.to_owned(), format!("{message}\n{}", self.note));
            return Error::Unauthorized { doing: self.doing, reference, message };
        }
        Error::engine(format!("{} `{reference}`", self.doing), message)
    }
}

/// What is shown to a registry, and what is said of it.
fn shown(credentials: Credentials, note: String) -> (RegistryAuth, String) {
    match (credentials.registry_token, credentials.identity_token, credentials.username) {
        (Some(token), ..) => (RegistryAuth::Bearer(token), note),
        (None, Some(_), _) => {
            let note =
                format!("{note}: an identity token, which only a Docker engine can exchange for another");
            (RegistryAuth::Anonymous, note)
        }
        (None, None, Some(user)) => {
            (RegistryAuth::Basic(user, credentials.password.unwrap_or_default()), note)
        }
        (None, None, None) => (RegistryAuth::Anonymous, note),
    }
}

/// Whether the registry does not have what it was asked for.
pub(super) fn is_absence(error: &Refusal) -> bool {
    const UNKNOWN: [OciErrorCode; 3] =
        [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound];
    matches!(error, Refusal::ImageManifestNotFoundError(_))
        || status(error) == Some(404)
        || says(error, &UNKNOWN)
}

fn says(error: &Refusal, codes: &[OciErrorCode]) -> bool {
    match error {
        Refusal::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| codes.contains(&error.code))
        }
        _ => false,
    }
}

fn status(error: &Refusal) -> Option<u16> {
    match error {
        Refusal::ServerError { code, .. } => Some(*code),
        Refusal::RequestError(error) => error.status().map(|status| status.as_u16()),
        _ => None,
    }
}
