//! A client of one repository in a registry (OCI distribution specification): connecting, authentication, and the meaning
//! of refusals. No answer is trusted: documents have size limits, every wait has a timeout, and credentials are sent only
//! where nobody else can see them.

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::bounded;
use super::challenge::{self, Challenge};
use super::refusal::Refusal;
use super::routes::Endpoint;
use crate::engine::oci;
use crate::engine::oci::credentials::{self, Credentials, Found};
use crate::error::with_causes;
use crate::model::ContentDigest;
use crate::{Error, Result};

const CONNECT: Duration = Duration::from_secs(10);
/// Timeout from a request without a body to the beginning of its answer.
const ANSWER: Duration = Duration::from_secs(60);
const REDIRECTS_AT_MOST: usize = 10;
/// The shim of Docker Hub's registry, which references name differently.
const DOCKER_HUB: &str = "registry-1.docker.io";

type Answered<T> = std::result::Result<T, Refusal>;

/// The purpose of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Doing {
    Pull,
    Push,
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }

    /// The actions of a token's scope (Docker token authentication specification, "scope").
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

pub(in crate::engine) struct Remote {
    client: Client,
    /// The URL of the repository, with a `/` at its end.
    base: Url,
    repository: String,
    /// A tag or a digest.
    reference: String,
    doing: Doing,
    shown: Shown,
    /// The `Authorization` header that the registry has accepted, or the token it has issued.
    authorization: Mutex<Option<HeaderValue>>,
    /// A sentence about the credentials, for the error if they are refused.
    note: Mutex<String>,
}

/// The credentials of a registry.
enum Shown {
    Nothing,
    Basic { user: String, password: String },
    Token(String),
}

/// A document with its media type.
pub(in crate::engine) struct Said {
    pub(in crate::engine) text: Vec<u8>,
    pub(in crate::engine) media_type: Option<String>,
}

impl Remote {
    /// `rest` is the part of a reference after the registry. A connection without data for `silence` is given up.
    pub(in crate::engine) async fn new(
        doing: Doing,
        endpoint: &Endpoint,
        rest: &str,
        silence: Option<Duration>,
    ) -> Result<Self> {
        let text = format!("{}/{}{rest}", endpoint.name, endpoint.prefix);
        let invalid = |why: &str| Error::engine(format!("{} `{text}`", doing.word()), why);
        let (repository, reference) = split(&format!("{}{rest}", endpoint.prefix))
            .ok_or_else(|| invalid("no such name is in a registry"))?;
        let scheme = if endpoint.is_plain { "http" } else { "https" };
        let name = if endpoint.name == "docker.io" { DOCKER_HUB } else { &endpoint.name };
        let base = Url::parse(&format!("{scheme}://{name}/v2/{repository}/"));
        let base = base.map_err(|error| invalid(&error.to_string()))?;
        let client = client(silence).map_err(|error| invalid(&with_causes(&error)))?;
        let Found { credentials, note } = credentials::find(&text).await;
        let (shown, note) = Shown::of(credentials.unwrap_or_default(), note);
        let token = if let Shown::Token(token) = &shown { bearer(token).ok() } else { None };
        let (authorization, note) = (Mutex::new(token), Mutex::new(note));
        Ok(Self { client, base, repository, reference, doing, shown, authorization, note })
    }

    /// The tag or digest that was asked for.
    pub(in crate::engine) fn reference(&self) -> &str {
        &self.reference
    }

    /// Fetches a manifest or an index, by tag or digest.
    pub(in crate::engine) async fn manifest(&self, reference: &str) -> Answered<Said> {
        let kinds = oci::Document::media_types().collect::<Vec<_>>().join(", ");
        let answer =
            self.ask(Method::GET, &format!("manifests/{reference}"), &[(header::ACCEPT, &kinds)]).await?;
        let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let media_type = media_type.map(str::to_owned);
        Ok(Said { text: bounded::read(answer).await?, media_type })
    }

    /// Fetches a small blob.
    pub(in crate::engine) async fn document(&self, digest: &ContentDigest) -> Answered<Vec<u8>> {
        bounded::read(self.ask(Method::GET, &format!("blobs/{digest}"), &[]).await?).await
    }

    /// Fetches a blob from an offset on; the status of the answer says whether it is that part, or the whole blob.
    pub(in crate::engine) async fn blob(&self, digest: &ContentDigest, from: u64) -> Answered<Response> {
        let range = format!("bytes={from}-");
        let answer = self.ask(Method::GET, &format!("blobs/{digest}"), &[(header::RANGE, &range)]).await?;
        let is_part = answer.status() == StatusCode::PARTIAL_CONTENT;
        let said = answer.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        if is_part && !said.is_some_and(|said| said.starts_with(&format!("bytes {from}-"))) {
            return Err(Refusal::Unusable(
                "the registry sends another part of a blob than it was asked for".to_owned(),
            ));
        }
        Ok(answer)
    }

    pub(in crate::engine) async fn has(&self, digest: &ContentDigest) -> Answered<bool> {
        match self.ask(Method::HEAD, &format!("blobs/{digest}"), &[]).await {
            Ok(_) => Ok(true),
            Err(Refusal::Answer { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Uploads a blob in one request, as containerd does: not every registry supports chunks.
    pub(super) async fn put_blob(
        &self,
        digest: &ContentDigest,
        size: u64,
        body: reqwest::Body,
    ) -> Answered<()> {
        let begun = self.ask(Method::POST, "blobs/uploads/", &[(header::CONTENT_LENGTH, "0")]).await?;
        let mut place = self.place(&begun)?;
        place.query_pairs_mut().append_pair("digest", &digest.to_string());
        let request = self.client.put(place.clone()).header(header::CONTENT_LENGTH, size);
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(body);
        // The upload may go to another host, which gets no credentials.
        let is_there = place.origin() == self.base.origin();
        let authorization = if is_there { self.authorization.lock().await.clone() } else { None };
        let answer = authorized(request, authorization).send().await.map_err(Refusal::Lost)?;
        taken(answer).await.map(drop)
    }

    /// Puts a manifest there, under a tag.
    pub(in crate::engine) async fn put_manifest(
        &self,
        tag: &str,
        text: &[u8],
        media_type: &str,
    ) -> Answered<()> {
        let path = format!("manifests/{tag}");
        let request = |client: &Client, url: Url| {
            client.put(url).header(header::CONTENT_TYPE, media_type).body(text.to_vec())
        };
        self.send(&path, request).await.map(drop)
    }

    /// The URL that the registry wants something sent to.
    fn place(&self, answer: &Response) -> Answered<Url> {
        let said = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
        let place = said.and_then(|place| answer.url().join(place).ok());
        let place = place
            .ok_or_else(|| Refusal::Unusable("the registry does not say where to send a blob".to_owned()))?;
        if self.base.scheme() == "https" && place.scheme() != "https" {
            let message = format!(
                "the registry wants a blob sent without TLS, to {}",
                place.origin().ascii_serialization()
            );
            return Err(Refusal::Unusable(message));
        }
        Ok(place)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Answered<Response> {
        self.send(path, |client, url| {
            let request = client.request(method.clone(), url);
            headers.iter().fold(request, |request, (name, value)| request.header(name, *value))
        })
        .await
    }

    /// Sends a request; repeats it with credentials if the registry asks for them.
    async fn send(&self, path: &str, request: impl Fn(&Client, Url) -> RequestBuilder) -> Answered<Response> {
        let url = self.base.join(path).map_err(|error| Refusal::Unusable(error.to_string()))?;
        let shown = self.authorization.lock().await.clone();
        let answer = answer(authorized(request(&self.client, url.clone()), shown.clone())).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return taken(answer).await;
        }
        let Some(fresh) =
            self.authorize(answer.headers()).await?.filter(|fresh| Some(fresh) != shown.as_ref())
        else {
            return Err(refused(answer).await);
        };
        *self.authorization.lock().await = Some(fresh.clone());
        taken(self::answer(authorized(request(&self.client, url), Some(fresh))).await?).await
    }

    /// The header that answers a challenge, if that is possible.
    async fn authorize(&self, headers: &HeaderMap) -> Answered<Option<HeaderValue>> {
        let headers = headers.get_all(header::WWW_AUTHENTICATE);
        let challenges = headers.iter().filter_map(|header| header.to_str().ok()).flat_map(challenge::parse);
        for challenge in challenges {
            match (challenge, &self.shown) {
                (_, Shown::Token(_)) | (Challenge::Basic, Shown::Nothing) => {}
                (Challenge::Basic, Shown::Basic { user, password }) => {
                    return Ok(Some(basic(user, password)));
                }
                (Challenge::Bearer { realm, service }, _) => {
                    return self.token(&realm, service.as_deref()).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Requests a token (Docker token authentication specification).
    async fn token(&self, realm: &str, service: Option<&str>) -> Answered<HeaderValue> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let invalid =
            || Refusal::Unusable(format!("the registry sends to `{}` for a token", realm.escape_debug()));
        let mut url = Url::parse(realm).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid());
        }
        url.query_pairs_mut()
            .append_pair("scope", &format!("repository:{}:{}", self.repository, self.doing.actions()));
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let shown = match &self.shown {
            Shown::Basic { user, password } if may_be_shown(&url, &self.base) => Some(basic(user, password)),
            Shown::Basic { .. } => {
                let realm = url.origin().ascii_serialization();
                *self.note.lock().await = format!(
                    "the credentials for it were not sent to {realm}, where the registry sends for a token: whoever is on the way there could read them"
                );
                None
            }
            _ => None,
        };
        let answer = taken(answer(authorized(self.client.get(url), shown)).await?).await?;
        let text = bounded::read(answer).await?;
        let unusable = |why: &str| Refusal::Unusable(format!("the answer to who asked for a token: {why}"));
        let Answer { token, access_token } =
            serde_json::from_slice(&text).map_err(|error| unusable(&error.to_string()))?;
        let token = token.or(access_token).ok_or_else(|| unusable("there is none in it"))?;
        bearer(&token).map_err(|_| unusable("it is none"))
    }

    /// The error for a refusal, whatever was asked for.
    pub(in crate::engine) async fn refusal(&self, reference: &str, refusal: &Refusal) -> Error {
        let message = refusal.message();
        if refusal.is_of_rights() {
            let message = format!("{message}\n{}", self.note.lock().await);
            return Error::Unauthorized {
                doing: self.doing.word(),
                reference: reference.to_owned(),
                message,
                locations: Vec::new(),
            };
        }
        Error::engine(format!("{} `{reference}`", self.doing.word()), message)
    }
}

/// Splits the part of a reference after the registry into the repository and the tag or digest.
fn split(rest: &str) -> Option<(String, String)> {
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let is_part = |part: &str| is_plain(part) && !part.trim_matches('.').is_empty();
    if !repository.split('/').all(is_part) || !is_part(tag) || tag.len() > 128 {
        return None;
    }
    let reference = match digest {
        Some(digest) => digest.parse::<ContentDigest>().ok()?.to_string(),
        None => tag.to_owned(),
    };
    Some((repository.to_owned(), reference))
}

/// Whether credentials may be sent to a token server: over TLS, or to the registry itself if it has no TLS.
fn may_be_shown(realm: &Url, registry: &Url) -> bool {
    realm.scheme() == "https" || (registry.scheme() == "http" && realm.host_str() == registry.host_str())
}

fn client(silence: Option<Duration>) -> reqwest::Result<Client> {
    // A provider that the program chose for itself stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(Policy::custom(redirect));
    let client = if let Some(silence) = silence { client.read_timeout(silence) } else { client };
    client.build()
}

/// Credentials are never forwarded to another host (reqwest does that); and a redirect from TLS to plain HTTP is refused.
fn redirect(attempt: Attempt) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_AT_MOST {
        return attempt.error("the registry sends from one place to another without end");
    }
    let is_from_tls = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
    if is_from_tls && attempt.url().scheme() != "https" {
        return attempt.error("the registry sends to a place without TLS");
    }
    attempt.follow()
}

fn authorized(request: RequestBuilder, authorization: Option<HeaderValue>) -> RequestBuilder {
    match authorization {
        Some(authorization) => request.header(header::AUTHORIZATION, authorization),
        None => request,
    }
}

/// Waits for the beginning of an answer.
async fn answer(request: RequestBuilder) -> Answered<Response> {
    let late = || Refusal::Unusable(format!("the registry does not answer within {} s", ANSWER.as_secs()));
    match tokio::time::timeout(ANSWER, request.send()).await {
        Ok(answer) => answer.map_err(Refusal::Lost),
        Err(_) => Err(late()),
    }
}

/// The refusal that an answer expresses.
async fn refused(answer: Response) -> Refusal {
    let status = answer.status();
    match bounded::read(answer).await {
        Ok(text) => Refusal::read(status, &text),
        Err(other) => other,
    }
}

/// Accepts an answer with a success status.
async fn taken(answer: Response) -> Answered<Response> {
    if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let text = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
    secret(&format!("Basic {text}")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn bearer(token: &str) -> std::result::Result<HeaderValue, header::InvalidHeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> std::result::Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Shown {
    /// The credentials to use, and the sentence about them.
    fn of(credentials: Credentials, note: String) -> (Self, String) {
        match (credentials.registry_token, credentials.identity_token, credentials.username) {
            (Some(token), ..) => (Self::Token(token), note),
            (None, Some(_), _) => {
                let note =
                    format!("{note}: an identity token, which only a Docker engine can exchange for another");
                (Self::Nothing, note)
            }
            (None, None, Some(user)) => {
                (Self::Basic { user, password: credentials.password.unwrap_or_default() }, note)
            }
            (None, None, None) => (Self::Nothing, note),
        }
    }
}

#[cfg(test)]
mod tests;
