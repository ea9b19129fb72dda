//! What a pod tells of itself, and how that is told on. The types name the fields of the API that are read here.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::remote::{Remote, RemoteError};
use crate::cli::HealthArgs;

/// How the pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    Healthy,
    Degraded,
    Unhealthy,
    /// Nobody answers, or nobody who is understood.
    Unreachable,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Unreachable => "unreachable",
        }
    }
}

/// `/health`.
#[derive(Debug, Deserialize)]
struct Health {
    status: Word,
    reasons: Vec<String>,
    sources: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Sources {
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    id: String,
    namespace: String,
    model: SourceModel,
    status: SourceStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceModel {
    name: String,
    in_use: Option<ModelInUse>,
}

#[derive(Debug, Deserialize)]
struct ModelInUse {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceStatus {
    state: String,
    received_fps: f64,
    processed_fps: f64,
    last_frame_time: Option<Timestamp>,
    last_error: Option<LastError>,
    latency_ms: Option<Latency>,
}

/// Why an attempt at a source failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastError {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) time: Timestamp,
}

/// From capture to publication, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p95: f64,
}

#[derive(Debug, Deserialize)]
struct Models {
    models: Vec<Model>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    id: String,
    namespace: String,
    state: String,
    failure: Option<String>,
    used_by: Vec<String>,
    opened: Option<Opened>,
}

#[derive(Debug, Deserialize)]
struct Opened {
    digest: String,
}

/// What is told on. Its JSON form is a stable interface.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) status: Word,
    /// Where the pod was asked.
    pub(super) address: String,
    /// Why it is not healthy, one sentence each.
    pub(super) reasons: Vec<String>,
    /// Sources that are enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watched: Option<usize>,
    /// With `--detailed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sources: Option<Vec<SourceLine>>,
    /// With `--detailed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) models: Option<Vec<ModelLine>>,
}

/// How a source does.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceLine {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) state: String,
    pub(super) received_fps: f64,
    pub(super) processed_fps: f64,
    pub(super) last_frame_time: Option<Timestamp>,
    pub(super) latency_ms: Option<Latency>,
    pub(super) model: String,
    pub(super) last_error: Option<LastError>,
}

/// How a model does, of the sources that it detects in now.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelLine {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) state: String,
    pub(super) digest: Option<String>,
    pub(super) used_by: Vec<String>,
    /// Frames per second of all of them.
    pub(super) processed_fps: f64,
    /// Of any of them.
    pub(super) last_frame_time: Option<Timestamp>,
    /// The worst of them.
    pub(super) latency_ms: Option<Latency>,
    /// Why it cannot be opened.
    pub(super) last_error: Option<String>,
}

/// Asks for what `args` want to know.
pub(super) fn ask(remote: &Remote, args: &HealthArgs) -> Result<Report, RemoteError> {
    if args.live {
        let (status, _) = remote.text("/livez")?;
        let good = status == 200;
        return Ok(Report {
            status: if good { Word::Healthy } else { Word::Unhealthy },
            address: remote.address().to_owned(),
            reasons: if good { Vec::new() } else { vec![format!("/livez answers {status}")] },
            watched: None,
            sources: None,
            models: None,
        });
    }
    // 503 is how an unhealthy pod answers.
    let health: Health = remote.get("/health", &[200, 503])?;
    let (mut sources, mut models) = (None, None);
    if args.detailed {
        let told: Sources = remote.get("/api/v1/sources", &[200])?;
        let known: Models = remote.get("/api/v1/models", &[200])?;
        models = Some(known.models.into_iter().map(|model| model_line(model, &told.sources)).collect());
        sources = Some(told.sources.into_iter().map(source_line).collect());
    }
    Ok(Report {
        status: health.status,
        address: remote.address().to_owned(),
        reasons: health.reasons,
        watched: Some(health.sources.len()),
        sources,
        models,
    })
}

fn source_line(source: Source) -> SourceLine {
    let Source { id, namespace, model, status } = source;
    SourceLine {
        namespace,
        id,
        state: status.state,
        received_fps: status.received_fps,
        processed_fps: status.processed_fps,
        last_frame_time: status.last_frame_time,
        latency_ms: status.latency_ms,
        model: model.in_use.map_or(model.name, |model| model.name),
        last_error: status.last_error,
    }
}

fn model_line(model: Model, sources: &[Source]) -> ModelLine {
    let detects_in = |source: &&Source| {
        source.namespace == model.namespace && source.model.in_use.as_ref().is_some_and(|used| used.name == model.id)
    };
    let statuses: Vec<&SourceStatus> = sources.iter().filter(detects_in).map(|source| &source.status).collect();
    let worst =
        |worst: Latency, other: Latency| Latency { p50: worst.p50.max(other.p50), p95: worst.p95.max(other.p95) };
    ModelLine {
        // The sum of nothing is -0.0.
        processed_fps: statuses.iter().map(|status| status.processed_fps).fold(0.0, |sum, fps| sum + fps),
        last_frame_time: statuses.iter().filter_map(|status| status.last_frame_time).max(),
        latency_ms: statuses.iter().filter_map(|status| status.latency_ms).reduce(worst),
        namespace: model.namespace,
        id: model.id,
        state: model.state,
        digest: model.opened.map(|opened| opened.digest),
        used_by: model.used_by,
        last_error: model.failure,
    }
}

impl Report {
    /// Nobody answers at `address`, for this reason.
    pub(super) fn unreachable(address: &str, reason: &str) -> Self {
        Self {
            status: Word::Unreachable,
            address: address.to_owned(),
            reasons: vec![reason.to_owned()],
            watched: None,
            sources: None,
            models: None,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.status != Word::Unreachable
    }

    pub(super) const fn exit_code(&self) -> u8 {
        match self.status {
            Word::Healthy => 0,
            Word::Degraded => 1,
            Word::Unhealthy => 2,
            Word::Unreachable => 3,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("\"{error}\"")) + "\n"
    }

    /// For people.
    pub(super) fn to_table(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let watched = self.watched.map(|count| format!(", {count} source{}", if count == 1 { "" } else { "s" }));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}{}", self.status.as_str(), self.address, watched.unwrap_or_default());
        for reason in &self.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        if let Some(sources) = &self.sources {
            let head = ["SOURCE", "STATE", "FPS", "LAST FRAME", "P50 MS", "P95 MS", "MODEL", "LAST ERROR"];
            let rows = sources.iter().map(|source| {
                [
                    format!("{}/{}", source.namespace, source.id),
                    source.state.clone(),
                    format!("{:.1}", source.processed_fps),
                    ago(source.last_frame_time, now),
                    milliseconds(source.latency_ms.map(|latency| latency.p50)),
                    milliseconds(source.latency_ms.map(|latency| latency.p95)),
                    source.model.clone(),
                    source.last_error.as_ref().map_or_else(
                        || "-".to_owned(),
                        |error| format!("{}: {} ({})", error.reason, error.message, ago(Some(error.time), now)),
                    ),
                ]
            });
            columns(&mut text, head, rows.collect());
        }
        if let Some(models) = &self.models {
            let head = ["MODEL", "STATE", "FPS", "LAST FRAME", "P50 MS", "P95 MS", "SOURCES", "LAST ERROR"];
            let rows = models.iter().map(|model| {
                [
                    format!("{}/{}", model.namespace, model.id),
                    model.state.clone(),
                    format!("{:.1}", model.processed_fps),
                    ago(model.last_frame_time, now),
                    milliseconds(model.latency_ms.map(|latency| latency.p50)),
                    milliseconds(model.latency_ms.map(|latency| latency.p95)),
                    model.used_by.len().to_string(),
                    model.last_error.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            });
            columns(&mut text, head, rows.collect());
        }
        text
    }
}

/// A table under an empty line; the last column is as wide as it is.
fn columns<const N: usize>(text: &mut String, head: [&str; N], rows: Vec<[String; N]>) {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    text.push('\n');
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn ago(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| {
            // The pod's clock may be ahead of this one.
            let seconds = (now.duration_since(time).as_secs_f64()).max(0.0);
            match seconds {
                ..60.0 => format!("{seconds:.1} s ago"),
                ..7200.0 => format!("{:.0} min ago", seconds / 60.0),
                _ => format!("{:.0} h ago", seconds / 3600.0),
            }
        },
    )
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn sources() -> Vec<Source> {
        let told = json!({"sources": [
            {"id": "gate", "namespace": "default", "model": {"name": "starter", "inUse": {"name": "starter", "digest": "sha256:00"}},
             "status": {"state": "Streaming", "receivedFps": 15.0, "processedFps": 9.96,
                        "lastFrameTime": "2026-11-21T11:59:59.900Z", "latencyMs": {"p50": 31.25, "p95": 48.0, "p99": 60.0}}},
            {"id": "yard", "namespace": "default", "model": {"name": "starter"},
             "status": {"state": "Backoff", "receivedFps": 0.0, "processedFps": 0.0,
                        "lastError": {"reason": "HostUnreachable", "message": "connection refused",
                                      "time": "2026-11-21T11:55:00Z"}}},
        ]});
        serde_json::from_value::<Sources>(told).unwrap().sources
    }

    fn report() -> Report {
        let told = json!({"models": [
            {"id": "starter", "namespace": "default", "state": "Ready", "usedBy": ["gate", "yard"],
             "opened": {"digest": "sha256:00"}},
            {"id": "lost", "namespace": "default", "state": "Failed", "failure": "cannot read /lost.onnx", "usedBy": []},
        ]});
        let models = serde_json::from_value::<Models>(told).unwrap().models;
        Report {
            status: Word::Degraded,
            address: "127.0.0.1:8080".to_owned(),
            reasons: vec!["default/yard: HostUnreachable: connection refused".to_owned()],
            watched: Some(2),
            models: Some(models.into_iter().map(|model| model_line(model, &sources())).collect()),
            sources: Some(sources().into_iter().map(source_line).collect()),
        }
    }

    #[test]
    fn a_table_tells_each_source_and_model() {
        insta::assert_snapshot!(report().to_table(now()));
    }

    #[test]
    fn json_tells_the_same() {
        insta::assert_snapshot!(report().to_json());
    }

    #[test]
    fn each_word_has_its_exit_code() {
        let code = |status| Report { status, ..Report::unreachable("pod:8080", "no answer") }.exit_code();
        assert_eq!([Word::Healthy, Word::Degraded, Word::Unhealthy, Word::Unreachable].map(code), [0, 1, 2, 3]);
    }
}
