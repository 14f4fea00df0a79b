//! Starts the export of traces to an OpenTelemetry collector.

use super::StartError;
use crate::config::TraceSettings;
use crate::entity::ids::BootId;
use crate::llm;
use crate::traces::{Collector, Export, Traces};

/// Starts the export of traces, if there is a collector.
///
/// # Errors
/// The HTTP client cannot be created.
pub(super) fn export(settings: &TraceSettings, boot: BootId) -> Result<Option<(Export, Traces)>, StartError> {
    let Some(url) = settings.url() else { return Ok(None) };
    let failed = |cause| StartError::new("OTEL_EXPORTER_OTLP_ENDPOINT: cannot send traces", cause);
    let collector = Collector {
        url: url.into(),
        headers: settings.headers(),
        client: llm::http_client().map_err(failed)?,
        sampler: settings.sampler(),
        service: settings.otel_service_name.clone(),
        instance: boot.0.to_string(),
    };
    let started = Export::start(collector).map_err(failed)?;
    tracing::info!("traces: on");
    Ok(Some(started))
}
