//! What the environment says of sending spans, in OpenTelemetry's variables.

use std::ffi::OsString;
use std::time::Duration;

use reqwest::Url;

const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const OTLP: &str = "OTEL_EXPORTER_OTLP_";
const DEFAULT_RECEIVER: &str = "http://localhost:4318";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const PROTOCOLS: [&str; 2] = ["http/protobuf", "http/json"];

/// Where spans are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) endpoint: Url,
    /// For how long it may take to answer.
    pub(super) timeout: Duration,
}

/// The environment.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    /// A variable that is set, and not to nothing.
    fn get(&self, name: &str) -> Result<Option<String>, String> {
        let value = (self.0)(name).filter(|value| !value.is_empty());
        let text =
            value.map(|value| value.into_string().map_err(|_| format!("{name} is not UTF-8"))).transpose()?;
        Ok(text.map(|text| text.trim().to_owned()))
    }

    /// One that there is for traces and for everything, with its name.
    fn of_otlp(&self, name: &str) -> Result<Option<(String, String)>, String> {
        for name in [format!("{OTLP}TRACES_{name}"), format!("{OTLP}{name}")] {
            if let Some(value) = self.get(&name)? {
                return Ok(Some((name, value)));
            }
        }
        Ok(None)
    }
}

/// Whether the environment names a receiver.
pub(super) fn is_asked_for(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let names = [EXPORTER.to_owned(), format!("{OTLP}TRACES_ENDPOINT"), format!("{OTLP}ENDPOINT")];
    names.iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()))
}

impl Settings {
    /// What the variables say; `None` if nothing is to be sent.
    ///
    /// # Errors
    /// What is wrong with them. Those that the exporter reads itself are only looked at here for what it would not report.
    pub(super) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, String> {
        let variables = Variables(variable);
        if variables.get(SDK_DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match variables.get(EXPORTER)?.as_deref() {
            Some("none") => return Ok(None),
            Some("otlp") | None => {}
            Some(other) => {
                return Err(format!(
                    "{EXPORTER} is `{other}`\n\nhelp: `otlp` and `none` are the exporters that there are"
                ));
            }
        }
        if let Some((name, protocol)) = variables.of_otlp("PROTOCOL")?
            && !PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(&protocol))
        {
            let known = PROTOCOLS.map(|known| format!("`{known}`")).join(" and ");
            return Err(format!(
                "{name} is `{protocol}`\n\nhelp: {known} are the protocols that there are; a collector takes them at port 4318"
            ));
        }
        if let Some((name, headers)) = variables.of_otlp("HEADERS")? {
            check_headers(&name, &headers)?;
        }
        let timeout = match variables.of_otlp("TIMEOUT")? {
            Some((name, text)) => match text.parse() {
                Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
                _ => {
                    return Err(format!(
                        "{name} is `{text}`\n\nhelp: it is a number of milliseconds, such as `10000`"
                    ));
                }
            },
            None => DEFAULT_TIMEOUT,
        };
        Ok(Some(Self { endpoint: endpoint(&variables)?, timeout }))
    }

    /// The receiver as people may see it: without a password.
    pub(super) fn shown(&self) -> String {
        let mut shown = self.endpoint.clone();
        // Neither can fail for an address that has a host.
        let _ = (shown.set_username(""), shown.set_password(None));
        shown.set_query(None);
        shown.to_string()
    }
}

fn endpoint(variables: &Variables<impl Fn(&str) -> Option<OsString>>) -> Result<Url, String> {
    let (name, text) = (format!("{OTLP}TRACES_ENDPOINT"), format!("{OTLP}ENDPOINT"));
    if let Some(whole) = variables.get(&name)? {
        return address(&name, &whole);
    }
    let base = variables.get(&text)?;
    let mut endpoint = address(&text, base.as_deref().unwrap_or(DEFAULT_RECEIVER))?;
    let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
    endpoint.set_path(&path);
    Ok(endpoint)
}

/// The text is not shown, as it may contain a password.
fn address(name: &str, text: &str) -> Result<Url, String> {
    let help = format!("\n\nhelp: it is as `{DEFAULT_RECEIVER}`");
    let url = Url::parse(text).map_err(|error| format!("{name} is no URL: {error}{help}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(format!("{name} begins with neither `http://` nor `https://`{help}")),
    }
}

/// Their values are not shown, as they may be credentials.
fn check_headers(name: &str, headers: &str) -> Result<(), String> {
    let is_header = |member: &str| {
        let header = member.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        header.is_some_and(|(key, value)| {
            reqwest::header::HeaderName::try_from(key).is_ok()
                && reqwest::header::HeaderValue::try_from(value).is_ok()
        })
    };
    let members = headers.split(',').map(str::trim).enumerate();
    match members.filter(|(_, member)| !member.is_empty()).find(|(_, member)| !is_header(member)) {
        None => Ok(()),
        Some((place, _)) => Err(format!(
            "{name}: entry {} is no header\n\nhelp: they are as `name=value,other=value`, and `%2C` is a comma in a value",
            place + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let find = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
        Settings::read(find)
    }

    fn endpoint(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap().unwrap().endpoint.to_string()
    }

    #[test]
    fn the_receiver_is_where_the_specification_says() {
        assert_eq!(endpoint(&[]), "http://localhost:4318/v1/traces");
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), "http://localhost:4318/v1/traces");
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a.example/otlp/");
        assert_eq!(endpoint(&[base]), "https://a.example/otlp/v1/traces");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b.example:1/spans");
        assert_eq!(endpoint(&[base, whole]), "http://b.example:1/spans");
        let timeout = read(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]).unwrap().unwrap().timeout;
        assert_eq!(timeout, Duration::from_millis(250));
    }

    #[test]
    fn nothing_is_sent_where_that_is_asked_for() {
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(read(&[off, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(None));
        }
        assert!(read(&[("OTEL_SDK_DISABLED", "no")]).unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        let said = |name, value| read(&[(name, value)]).unwrap_err();
        let all = [
            said("OTEL_TRACES_EXPORTER", "console"),
            said("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            said("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s"),
            said("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            said("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            said("OTEL_EXPORTER_OTLP_HEADERS", "a=1, Bearer s3cr3t"),
        ];
        insta::assert_snapshot!(all.join("\n\n"));
        assert!(read(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a, b=c,")]).is_ok());
        let secret = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cr3t@a.example/?key=s3cr3t");
        assert_eq!(read(&[secret]).unwrap().unwrap().shown(), "http://a.example/v1/traces");
    }
}
