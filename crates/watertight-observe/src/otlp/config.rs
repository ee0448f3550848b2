//! Where a collector is and how it is spoken to: by the command line, and by the variables that OpenTelemetry has for everyone
//! (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin). The command line says more.

use std::{fmt, time::Duration};

use http::Uri;
use serde::{Deserialize, Serialize};

/// Everything there is to say of a collector.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct OtlpConfig {
    /// Where traces go; `None`: nowhere.
    pub traces: Option<String>,
    /// Where logs go.
    pub logs: Option<String>,
    /// Where metrics go.
    pub metrics: Option<String>,
    /// How.
    pub protocol: Protocol,
    /// A file of certificates in PEM that a collector with `https` is trusted by, in place of the authorities that browsers trust.
    pub certificate: Option<String>,
    /// With every request: tokens, for instance.
    pub headers: Vec<(String, String)>,
    /// How long a request may take.
    pub timeout: Duration,
    /// The share of the traces that is kept from the start, of those that nobody has decided on.
    pub ratio: f64,
    /// How often metrics are sent.
    pub metrics_every: Duration,
    /// What the app is called (`service.name`), if not by its own name.
    pub service: Option<String>,
    /// More about where it runs.
    pub attributes: Vec<(String, String)>,
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Protobuf over HTTP/1.1.
    #[default]
    Http,
    /// gRPC: HTTP/2.
    Grpc,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// It is not where one could send.
    #[error("`{0}` is no address of a collector: http://HOST:4318, or with gRPC http://HOST:4317")]
    Endpoint(String),
    /// A variable that makes no sense.
    #[error("{variable}: {why}")]
    Variable {
        /// Which.
        variable: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The collector cannot be reached, or broke off.
    #[error("the collector at {0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// It took too long.
    #[error("the collector at {0} does not answer in time")]
    TooSlow(String),
    /// It does not want it.
    #[error("the collector at {0} refuses: {1}")]
    Refused(String, String),
}

impl OtlpConfig {
    /// What the command line (`--otlp`, and a ratio) and the environment ask for; `None` where they ask for nothing.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn read(
        endpoint: Option<&str>,
        ratio: Option<f64>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpError> {
        let env = |name: &'static str| env(name).filter(|value| !value.trim().is_empty());
        if endpoint.is_none() && env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let protocol = match env("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
            None | Some("http/protobuf") => Protocol::Http,
            Some("grpc") => Protocol::Grpc,
            Some(other) => {
                return Err(wrong(
                    "OTEL_EXPORTER_OTLP_PROTOCOL",
                    format!("`{other}` is neither `http/protobuf` nor `grpc`"),
                ));
            }
        };
        let base = endpoint.map(str::to_owned).or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let place = |variable, path: &str| -> Result<Option<String>, OtlpError> {
            let own = env(variable).filter(|_| endpoint.is_none());
            let whole = match (own, &base, protocol) {
                (Some(own), ..) => own,
                (None, None, _) => return Ok(None),
                (None, Some(base), Protocol::Grpc) => base.clone(),
                (None, Some(base), Protocol::Http) => format!("{}/v1/{path}", base.trim_end_matches('/')),
            };
            check(&whole)?;
            Ok(Some(whole))
        };
        let config = Self {
            traces: place("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces")?,
            logs: place("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "logs")?,
            metrics: place("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "metrics")?,
            protocol,
            certificate: env("OTEL_EXPORTER_OTLP_CERTIFICATE"),
            headers: pairs("OTEL_EXPORTER_OTLP_HEADERS", env("OTEL_EXPORTER_OTLP_HEADERS"))?,
            timeout: millis("OTEL_EXPORTER_OTLP_TIMEOUT", env("OTEL_EXPORTER_OTLP_TIMEOUT"), 10_000)?,
            ratio: match ratio {
                Some(ratio) => ratio,
                None => sampler(env("OTEL_TRACES_SAMPLER").as_deref(), env("OTEL_TRACES_SAMPLER_ARG"))?,
            },
            metrics_every: millis("OTEL_METRIC_EXPORT_INTERVAL", env("OTEL_METRIC_EXPORT_INTERVAL"), 60_000)?,
            service: env("OTEL_SERVICE_NAME"),
            attributes: pairs("OTEL_RESOURCE_ATTRIBUTES", env("OTEL_RESOURCE_ATTRIBUTES"))?,
        };
        let wanted = config.traces.is_some() || config.logs.is_some() || config.metrics.is_some();
        Ok(wanted.then_some(config))
    }
}

/// It may hold tokens.
impl fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpConfig")
            .field("traces", &self.traces)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

fn check(endpoint: &str) -> Result<(), OtlpError> {
    let uri = endpoint.parse::<Uri>().ok();
    let sound = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if sound { Ok(()) } else { Err(OtlpError::Endpoint(endpoint.to_owned())) }
}

fn wrong(variable: &'static str, why: impl Into<String>) -> OtlpError {
    OtlpError::Variable { variable, why: why.into() }
}

/// `a=b,c=d`, where values are percent-encoded.
fn pairs(variable: &'static str, text: Option<String>) -> Result<Vec<(String, String)>, OtlpError> {
    let text = text.unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or_else(|| wrong(variable, "it is a list of `name=value`"))?;
            let value = decoded(value.trim()).ok_or_else(|| wrong(variable, "a value is not percent-encoded UTF-8"))?;
            Ok((name.trim().to_owned(), value))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn millis(variable: &'static str, text: Option<String>, otherwise: u64) -> Result<Duration, OtlpError> {
    let millis = match text {
        None => otherwise,
        Some(text) => text.trim().parse().map_err(|_| wrong(variable, "it is a number of milliseconds"))?,
    };
    Ok(Duration::from_millis(millis.max(1)))
}

/// The share that a sampler keeps. Callers that have decided are always followed.
fn sampler(name: Option<&str>, argument: Option<String>) -> Result<f64, OtlpError> {
    match name.map(|name| name.strip_prefix("parentbased_").unwrap_or(name)) {
        None | Some("always_on") => Ok(1.0),
        Some("always_off") => Ok(0.0),
        Some("traceidratio") => {
            let share = argument.as_deref().unwrap_or("1").trim().parse::<f64>().ok();
            let share = share.filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| wrong("OTEL_TRACES_SAMPLER_ARG", "it is a share from 0 to 1"))
        }
        Some(other) => Err(wrong(
            "OTEL_TRACES_SAMPLER",
            format!("`{other}` is none of `always_on`, `always_off`, `traceidratio`, with or without `parentbased_`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: Option<&str>, env: &[(&str, &str)]) -> Result<Option<OtlpConfig>, String> {
        let value = |name: &str| env.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        OtlpConfig::read(endpoint, None, value).map_err(|error| error.to_string())
    }

    fn sound(endpoint: Option<&str>, env: &[(&str, &str)]) -> OtlpConfig {
        read(endpoint, env).expect("it is sound").expect("it is wanted")
    }

    #[test]
    fn without_a_word_nothing_is_sent() {
        assert_eq!(read(None, &[("OTEL_SERVICE_NAME", "shop")]), Ok(None));
        assert_eq!(
            read(None, &[("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")]),
            Ok(None)
        );
    }

    #[test]
    fn signals_have_their_paths_unless_they_have_a_place_of_their_own() {
        let config = sound(Some("http://a:4318/"), &[]);
        assert_eq!(config.traces.as_deref(), Some("http://a:4318/v1/traces"));
        assert_eq!(config.metrics.as_deref(), Some("http://a:4318/v1/metrics"));
        let grpc = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        assert_eq!(sound(None, &grpc).logs.as_deref(), Some("http://a:4317"));
        let config = sound(None, &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:1/x")]);
        assert_eq!((config.traces.as_deref(), config.logs), (Some("http://b:1/x"), None));
    }

    #[test]
    fn headers_and_attributes_are_decoded_and_samplers_known() {
        let config = sound(
            Some("https://a"),
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y=z"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
            ],
        );
        assert_eq!(config.headers, [("api-key".to_owned(), "a b".to_owned()), ("x".to_owned(), "y=z".to_owned())]);
        assert_eq!(config.attributes, [("deployment.environment.name".to_owned(), "test".to_owned())]);
        assert_eq!((config.ratio, config.metrics_every), (0.25, Duration::from_secs(5)));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1");
        for (endpoint, env, expected) in [
            (Some("localhost:4318"), ("A", "b"), "no address of a collector"),
            (Some("ftp://a"), ("A", "b"), "no address of a collector"),
            (None, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), "neither"),
            (None, ("OTEL_EXPORTER_OTLP_HEADERS", "token"), "name=value"),
            (None, ("OTEL_EXPORTER_OTLP_HEADERS", "a=%f"), "percent"),
            (None, ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "milliseconds"),
            (None, ("OTEL_TRACES_SAMPLER", "jaeger_remote"), "none of"),
        ] {
            let said = read(endpoint, &[base, env]).expect_err("it makes no sense");
            assert!(said.contains(expected), "{said}");
        }
    }
}
