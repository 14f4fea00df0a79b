//! Settings for traces. Their names, values and defaults are those of the OpenTelemetry specification
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use opentelemetry_sdk::trace::Sampler;
use reqwest::Url;

use super::values::line;
use super::{Secret, SettingError};

/// The path below the base URL of a collector (OTLP 1.x, "OTLP/HTTP request").
const PATH: &str = "v1/traces";
/// The words in the names of variables that the specification defines, also for other signals than traces.
const WORDS: &str = "OTEL EXPORTER OTLP TRACES METRICS LOGS ENDPOINT HEADERS TIMEOUT PROTOCOL COMPRESSION CERTIFICATE \
    CLIENT KEY INSECURE SERVICE NAME SAMPLER ARG RESOURCE ATTRIBUTES SDK DISABLED LOG LEVEL PROPAGATORS BSP BLRP \
    SCHEDULE DELAY EXPORT MAX QUEUE BATCH SIZE SPAN LOGRECORD ATTRIBUTE EVENT LINK COUNT VALUE LENGTH LIMIT METRIC \
    INTERVAL EXEMPLAR FILTER TEMPORALITY PREFERENCE DEFAULT HISTOGRAM AGGREGATION CONFIG FILE ENTITIES";

/// Whether a variable consists of words of the specification. It is then not a misspelled setting: operators set
/// variables of other signals for all programs of a machine.
pub(super) fn is_of_specification(name: &str) -> bool {
    name.starts_with("OTEL_") && name.split('_').all(|word| WORDS.split(' ').any(|known| known == word))
}

/// Settings for traces.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceSettings {
    /// Base URL of an OpenTelemetry collector (OTLP over HTTP, with Protocol Buffers), such as http://127.0.0.1:4318;
    /// traces are sent to /v1/traces below it [default: no traces].
    #[arg(long, value_parser = url)]
    pub otel_exporter_otlp_endpoint: Option<Url>,
    /// The whole URL for traces, instead of the base URL.
    #[arg(long, value_parser = url)]
    pub otel_exporter_otlp_traces_endpoint: Option<Url>,
    /// Headers for the collector, such as `authorization=Bearer%20…`: a comma-separated list, percent-encoded.
    #[arg(long, hide_env_values = true, value_parser = headers)]
    pub otel_exporter_otlp_headers: Option<Secret>,
    /// The name of this service in traces.
    #[arg(long, default_value = "duologue", value_parser = line)]
    pub otel_service_name: String,
    /// Which traces are recorded: always_on, always_off, traceidratio, or one of them with the prefix `parentbased_`,
    /// which applies to requests that do not continue a trace.
    #[arg(long, default_value = "parentbased_always_on", value_parser = sampler)]
    pub otel_traces_sampler: TraceSampler,
    /// The ratio of traceidratio, from 0 to 1.
    #[arg(long, default_value = "1", value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSampler {
    /// Whether a trace that a request continues keeps the decision of its origin.
    is_parent_based: bool,
    root: RootSampler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RootSampler {
    On,
    Off,
    Ratio,
}

/// The accepted values of the URLs.
const ACCEPTED: &str = "an http or https URL without credentials, such as http://127.0.0.1:4318";

impl TraceSettings {
    /// Checks that no URL contains credentials, which an error of the HTTP client could show.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        for (variable, url) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.otel_exporter_otlp_endpoint),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &self.otel_exporter_otlp_traces_endpoint),
        ] {
            if url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                return Err(SettingError::secret(variable, ACCEPTED));
            }
        }
        Ok(())
    }

    /// The URL to which traces are sent. None if traces are off.
    pub fn url(&self) -> Option<Url> {
        if let Some(url) = &self.otel_exporter_otlp_traces_endpoint {
            return Some(url.clone());
        }
        let mut url = self.otel_exporter_otlp_endpoint.clone()?;
        let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Some(url)
    }

    /// The names and values of the headers for the collector, decoded.
    pub fn headers(&self) -> Vec<(String, String)> {
        let listed = self.otel_exporter_otlp_headers.as_ref();
        listed.and_then(|listed| decode(listed.expose())).unwrap_or_default()
    }

    /// The sampler.
    pub fn sampler(&self) -> Sampler {
        let root = match self.otel_traces_sampler.root {
            RootSampler::On => Sampler::AlwaysOn,
            RootSampler::Off => Sampler::AlwaysOff,
            RootSampler::Ratio => Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg),
        };
        if self.otel_traces_sampler.is_parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
    }
}

fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| ACCEPTED)?;
    let is_accepted = ["http", "https"].contains(&url.scheme()) && url.has_host() && url.fragment().is_none();
    if is_accepted { Ok(url) } else { Err(ACCEPTED) }
}

fn headers(text: &str) -> Result<Secret, &'static str> {
    let is_list = decode(text).is_some_and(|headers| !headers.is_empty());
    let list = is_list.then(|| Secret::from(text.to_owned()));
    list.ok_or("a comma-separated list of NAME=VALUE, with percent-encoded values")
}

/// None if an item is not a header.
fn decode(text: &str) -> Option<Vec<(String, String)>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let decoded = items.map(|item| {
        let (name, value) = item.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        let is_header = reqwest::header::HeaderName::from_bytes(name.trim().as_bytes()).is_ok()
            && reqwest::header::HeaderValue::from_str(&value).is_ok();
        is_header.then(|| (name.trim().to_owned(), value.into_owned()))
    });
    decoded.collect()
}

fn sampler(text: &str) -> Result<TraceSampler, &'static str> {
    let text = text.trim();
    let root = text.strip_prefix("parentbased_");
    let is_parent_based = root.is_some();
    let root = match root.unwrap_or(text) {
        "always_on" => RootSampler::On,
        "always_off" => RootSampler::Off,
        "traceidratio" => RootSampler::Ratio,
        _ => return Err("always_on, always_off or traceidratio, each also with the prefix parentbased_"),
    };
    Ok(TraceSampler { is_parent_based, root })
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("a number from 0 to 1")
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::config::env_file::warnings;

    fn settings(endpoint: Option<&str>, traces_endpoint: Option<&str>) -> TraceSettings {
        TraceSettings {
            otel_exporter_otlp_endpoint: endpoint.map(|text| url(text).unwrap()),
            otel_exporter_otlp_traces_endpoint: traces_endpoint.map(|text| url(text).unwrap()),
            otel_exporter_otlp_headers: None,
            otel_service_name: "duologue".to_owned(),
            otel_traces_sampler: sampler("parentbased_always_on").unwrap(),
            otel_traces_sampler_arg: 1.0,
        }
    }

    #[test]
    fn the_path_is_added_to_the_base_url_only() {
        for (base, traces, expected) in [
            (None, None, None),
            (Some("http://c:4318"), None, Some("http://c:4318/v1/traces")),
            (Some("https://c/otlp/"), None, Some("https://c/otlp/v1/traces")),
            (Some("http://c:4318"), Some("http://d/x"), Some("http://d/x")),
            (None, Some("http://d"), Some("http://d/")),
        ] {
            let found = settings(base, traces).url();
            assert_eq!(found.as_ref().map(Url::as_str), expected);
        }
        for bad in ["collector:4317", "grpc://c:4317", "http://", "c", "http://c/#x"] {
            assert!(url(bad).is_err(), "{bad}");
        }
        let refused = settings(None, Some("http://user:hunter2@c")).validate().unwrap_err().to_string();
        assert!(refused.starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: [secret]"), "{refused}");
        assert!(settings(Some("http://c"), Some("http://d")).validate().is_ok());
    }

    #[test]
    fn headers_are_decoded() {
        let decoded = decode("authorization=Bearer%20a%3Db, x-scope = one ,").unwrap();
        let expected = [("authorization", "Bearer a=b"), ("x-scope", "one")];
        assert_eq!(decoded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["authorization", "a b=c", "a=%0A", "a=%ff", ",", ""] {
            assert!(headers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn samplers_have_the_names_of_the_specification() {
        assert!(matches!(settings(None, None).sampler(), Sampler::ParentBased(_)));
        let ratio_based = TraceSettings {
            otel_traces_sampler: sampler("traceidratio").unwrap(),
            otel_traces_sampler_arg: ratio("0.25").unwrap(),
            ..settings(None, None)
        };
        assert!(matches!(ratio_based.sampler(), Sampler::TraceIdRatioBased(ratio) if ratio == 0.25));
        for bad in ["xray", "parentbased_", "parentbased_jaeger_remote", "ALWAYS_ON"] {
            assert!(sampler(bad).is_err(), "{bad}");
        }
        for bad in ["1.1", "-0.1", "NaN", "", "half"] {
            assert!(ratio(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_of_opentelemetry_for_other_signals_are_not_misspelled_settings() {
        let command = TraceSettings::augment_args(clap::Command::new("duologue"));
        let settings = command.get_arguments().filter_map(|arg| arg.get_long());
        let settings: Vec<String> = settings.map(|long| long.replace('-', "_").to_uppercase()).collect();
        assert!(settings.iter().all(|name| is_of_specification(name)), "{settings:?}");
        let standard = ["LOGS", "METRICS", "TRACES"].into_iter().flat_map(|signal| {
            let of_exporter = ["HEADERS", "TIMEOUT", "PROTOCOL", "COMPRESSION", "CERTIFICATE"]
                .map(|name| format!("OTEL_EXPORTER_OTLP_{signal}_{name}"));
            of_exporter.into_iter().chain([format!("OTEL_{signal}_EXPORTER")])
        });
        let general = [
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_SDK_DISABLED",
            "OTEL_LOG_LEVEL",
            "OTEL_PROPAGATORS",
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_BSP_MAX_QUEUE_SIZE",
        ];
        for name in standard.chain(general.map(str::to_owned)) {
            assert!(is_of_specification(&name), "{name}");
        }
        for misspelled in ["OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_SERVICENAME", "OTEL_TRACE_SAMPLER"] {
            assert!(!is_of_specification(misspelled), "{misspelled}");
            assert_eq!(warnings([misspelled.to_owned()].into_iter(), &settings).len(), 1, "{misspelled}");
        }
    }
}
