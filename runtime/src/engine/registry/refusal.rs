//! Refusals of registries (OCI distribution specification, "error codes").

use reqwest::StatusCode;
use serde::Deserialize;

use crate::error::with_causes;

#[derive(Debug)]
pub(in crate::engine) enum Refusal {
    /// No answer, or an incomplete one.
    Lost(reqwest::Error),
    /// An answer with an error status.
    Answer { status: StatusCode, codes: Vec<String>, message: String },
    /// An answer that makes no sense; the reason in words.
    Unusable(String),
}

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// How much is shown of an answer that does not come from a registry.
const SHOWN_AT_MOST: usize = 400;

impl Refusal {
    pub(super) fn read(status: StatusCode, text: &[u8]) -> Self {
        let reasons = serde_json::from_slice(text).map_or(Vec::new(), |Envelope { errors }| errors);
        let said: Vec<&str> = reasons.iter().map(Reason::text).filter(|text| !text.is_empty()).collect();
        let message = if said.is_empty() {
            String::from_utf8_lossy(text).trim().chars().take(SHOWN_AT_MOST).collect()
        } else {
            said.join("; ")
        };
        Self::Answer { status, codes: reasons.into_iter().map(|reason| reason.code).collect(), message }
    }

    pub(in crate::engine) fn message(&self) -> String {
        match self {
            Self::Lost(error) => with_causes(error),
            Self::Answer { status, message, .. } if message.is_empty() => {
                format!("the registry answered {status}")
            }
            Self::Answer { status, message, .. } => format!("{message} (the registry answered {status})"),
            Self::Unusable(message) => message.clone(),
        }
    }

    /// Whether the registry does not have what was asked for.
    pub(in crate::engine) fn is_absence(&self) -> bool {
        const UNKNOWN: [&str; 3] = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
        matches!(self, Self::Answer { status: StatusCode::NOT_FOUND, .. }) || self.says(&UNKNOWN)
    }

    pub(in crate::engine) fn is_of_rights(&self) -> bool {
        matches!(self, Self::Answer { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. })
            || self.says(&["UNAUTHORIZED", "DENIED"])
    }

    fn says(&self, known: &[&str]) -> bool {
        matches!(self, Self::Answer { codes, .. } if codes.iter().any(|code| known.contains(&code.as_str())))
    }
}

impl Reason {
    fn text(&self) -> &str {
        if self.message.is_empty() { &self.code } else { &self.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let read =
            |status: u16, text: &str| Refusal::read(StatusCode::from_u16(status).unwrap(), text.as_bytes());
        let unknown =
            read(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#);
        assert!(unknown.is_absence() && !unknown.is_of_rights());
        assert!(
            unknown.message().starts_with("manifest unknown (the registry answered 404"),
            "{}",
            unknown.message()
        );
        let denied = read(400, r#"{"errors":[{"code":"DENIED"},{"code":"X","message":"y"}]}"#);
        assert!(denied.is_of_rights() && denied.message().starts_with("DENIED; y"));
        assert!(read(401, "").is_of_rights() && read(404, "<html>").is_absence());
        let long = read(500, &"x".repeat(10_000));
        assert!(!long.is_absence() && !long.is_of_rights() && long.message().len() < 500);
    }
}
