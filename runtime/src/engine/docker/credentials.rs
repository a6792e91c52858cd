//! Registry credentials, from where the Docker command line keeps them.

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::context;

/// The credentials for a registry, and what went wrong on the way to them: told only when the registry refuses, since
/// most images need none.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) credentials: Option<DockerCredentials>,
    pub(super) trouble: Option<String>,
}

/// Looks up the credentials for a canonical reference. Runs a credential helper where one is configured.
pub(super) async fn find(reference: &str) -> Found {
    let registry = match reference.split('/').next() {
        Some("docker.io") | None => "https://index.docker.io/v1/".to_owned(),
        Some(host) => host.to_owned(),
    };
    tokio::task::spawn_blocking(move || look_up(&registry)).await.unwrap_or_default()
}

fn look_up(registry: &str) -> Found {
    use CredentialRetrievalError as Trouble;

    // As in GitLab's runners: the whole configuration file in a variable.
    let given = std::env::var("DOCKER_AUTH_CONFIG").ok().filter(|config| !config.trim().is_empty());
    let from_variable =
        given.map(|config| docker_credential::get_credential_from_reader(config.as_bytes(), registry));
    let found = match from_variable {
        Some(Ok(credential)) => Ok(credential),
        Some(Err(trouble)) if trouble != Trouble::NoCredentialConfigured => Err(trouble),
        _ => docker_credential::get_credential(registry),
    };
    match found {
        Ok(credential) => Found { credentials: Some(credentials(credential, registry)), trouble: None },
        Err(Trouble::NoCredentialConfigured | Trouble::ConfigNotFound) => Found::default(),
        // This also stands for a file that is not there.
        Err(Trouble::ConfigReadError) if !has_config() => Found::default(),
        // Helpers say this of a registry nobody has logged in to.
        Err(Trouble::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Found::default()
        }
        Err(trouble) => Found { credentials: None, trouble: Some(trouble.to_string().trim().to_owned()) },
    }
}

fn has_config() -> bool {
    context::config_dir().is_some_and(|directory| directory.join("config.json").exists())
}

fn credentials(credential: DockerCredential, registry: &str) -> DockerCredentials {
    let serveraddress = Some(registry.to_owned());
    match credential {
        DockerCredential::IdentityToken(token) => {
            DockerCredentials { identitytoken: Some(token), serveraddress, ..Default::default() }
        }
        DockerCredential::UsernamePassword(username, password) => DockerCredentials {
            username: Some(username),
            password: Some(password),
            serveraddress,
            ..Default::default()
        },
    }
}
