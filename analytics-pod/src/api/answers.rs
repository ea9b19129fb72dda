//! What the API tells of sources, models and the pod, and how it is found out. The types are the schema.

use std::{collections::BTreeMap, sync::Arc};

use crds::VideoSourceSpec;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    assign::{
        ModelKey,
        rest::{Origin, Snapshot, SourceType},
    },
    observation::SourceKey,
    pod::{ModelState, Models},
    source::printable_uri,
    telemetry::{DropReason, StreamState, StreamTelemetry},
};

/// A source and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its name.
    pub id: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Where it is from; over REST only what REST made can be changed.
    pub origin: Origin,
    /// One that REST made has the same name, and is not run as long as this one is there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shadows_rest: bool,
    /// The kind of input: `rtsp`, `http`, `file` or `test`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub source_type: Option<&'static str>,
    /// Where the video is, without its query, which may hold a password.
    pub uri: String,
    /// Whether it is watched at all.
    pub enabled: bool,
    /// Whether it has a login, which is never shown.
    pub has_credentials: bool,
    /// The model that it is to be watched with, and the one that watches it now.
    pub model: SourceModel,
    /// What is asked of it (`VideoSource.spec`), the URI without its query.
    #[schemars(schema_with = "video_source_spec")]
    pub spec: Value,
    /// How it does.
    pub status: SourceStatus,
}

fn video_source_spec(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/components/schemas/VideoSourceSpec" })
}

fn detection_model_spec(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "$ref": "#/components/schemas/DetectionModelSpec" })
}

/// The model of a source.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceModel {
    /// The model that is asked for.
    pub name: String,
    /// How far that model is.
    pub state: ModelPhase,
    /// Why it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Arc<str>>,
    /// The model that detected the last published frame; another one while the one that is asked for is being opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<ModelInUse>,
}

/// The model that detected a frame.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelInUse {
    /// Its name.
    pub name: Arc<str>,
    /// `sha256:` and the digest of its file.
    pub digest: Arc<str>,
}

/// How far a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ModelPhase {
    /// No source uses it, and it is not opened before one does; or nobody knows it.
    Unknown,
    /// It is being fetched and opened.
    Opening,
    /// It can run.
    Ready,
    /// It cannot be opened.
    Failed,
    /// The last change of it cannot be opened; the version before runs on.
    UpdateFailed,
}

impl ModelPhase {
    pub(super) const fn of(state: Option<&ModelState>) -> Self {
        match state {
            None => Self::Unknown,
            Some(ModelState { ready: None, failure: None, .. }) => Self::Opening,
            Some(ModelState { ready: Some(_), failure: None, .. }) => Self::Ready,
            Some(ModelState { ready: None, failure: Some(_), .. }) => Self::Failed,
            Some(ModelState { ready: Some(_), failure: Some(_), .. }) => Self::UpdateFailed,
        }
    }
}

/// How a source does. Counters begin when it is added or its connection is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// What it does.
    pub state: SourceState,
    /// Why it is not run at all, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Frames that arrived per second, over the last 5 s.
    pub received_fps: f64,
    /// Frames that were published per second, over the last 5 s.
    pub processed_fps: f64,
    /// Frames so far.
    pub frames: Frames,
    /// Bytes of encoded frames that arrived.
    pub received_bytes: u64,
    /// Objects in published frames.
    pub objects: u64,
    /// Frames that were not published, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// Failed attempts at the source, by reason.
    pub errors: BTreeMap<&'static str, u64>,
    /// Failed attempts in a row; 0 once frames have come for 10 s.
    pub consecutive_failures: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Why the last attempt that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// When the last frame arrived (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_frame_time: Option<String>,
    /// The pictures' size, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// The codec's usual name, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<Arc<str>>,
    /// Capture to publication, once something was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// The `X-Request-Id` of the last request that made or changed it, and took effect; its frames carry it too, as
    /// `metadata.requestId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request_id: Option<String>,
}

/// What a source does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum SourceState {
    /// It is not enabled.
    Disabled,
    /// It cannot run; the message says why.
    Stuck,
    /// It is not started yet: its model is being opened, or its predecessor is ending.
    #[default]
    Idle,
    /// An attempt is under way and no frame has come.
    Connecting,
    /// Frames come.
    Streaming,
    /// No frame for the stall timeout.
    Stalled,
    /// Waiting before the next attempt.
    Backoff,
    /// Ended for good: a file that was played once, or `recovery.maxAttempts` reached.
    Ended,
}

impl From<StreamState> for SourceState {
    fn from(state: StreamState) -> Self {
        match state {
            StreamState::Idle => Self::Idle,
            StreamState::Connecting => Self::Connecting,
            StreamState::Streaming => Self::Streaming,
            StreamState::Stalled => Self::Stalled,
            StreamState::Backoff => Self::Backoff,
            StreamState::Ended => Self::Ended,
        }
    }
}

/// Frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Frames {
    /// Arrived.
    pub received: u64,
    /// Decoded.
    pub decoded: u64,
    /// Inferred and published.
    pub processed: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// The stable word.
    pub reason: &'static str,
    /// A sentence for a person, with the remedy where there is one.
    pub message: String,
    /// When (RFC 3339).
    pub time: String,
}

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Capture to publication in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// The longest.
    pub max: f64,
}

/// Every source.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceList {
    /// In the order of namespace and name.
    pub sources: Vec<Source>,
}

/// A source that was made.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SourceCreated {
    /// `created`.
    pub status: &'static str,
    /// Its name.
    pub source_id: Arc<str>,
    /// The source.
    pub source: Source,
}

/// A model and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelAnswer {
    /// Its name.
    pub id: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Where it is from; over REST only what REST made can be changed.
    pub origin: Origin,
    /// What is asked of it (`DetectionModel.spec`), a URL without its query.
    #[schemars(schema_with = "detection_model_spec")]
    pub spec: Value,
    /// How far it is.
    pub state: ModelPhase,
    /// Why it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Arc<str>>,
    /// Sources that name it.
    pub used_by: Vec<Arc<str>>,
    /// What is known of it once it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<OpenedModel>,
}

/// An open model.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenedModel {
    /// `sha256:` and the digest of its file.
    pub digest: Arc<str>,
    /// How its outputs are laid out.
    pub layout: &'static str,
    /// Size of its input in pixels.
    pub input: Resolution,
    /// Pictures a run takes at the most.
    pub max_batch: usize,
    /// Its classes, in the order of their numbers.
    pub labels: Vec<Arc<str>>,
}

/// Every model.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelList {
    /// In the order of namespace and name.
    pub models: Vec<ModelAnswer>,
}

/// A model that was made. It is opened after the answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ModelCreated {
    /// `created`.
    pub status: &'static str,
    /// Its name.
    pub model_id: Arc<str>,
    /// The model.
    pub model: ModelAnswer,
}

/// What is known of the source `key`; `None` where there is none.
pub(super) fn source(
    key: &SourceKey,
    known: &Snapshot,
    models: &Models,
    telemetry: Option<&StreamTelemetry>,
) -> Option<Source> {
    let origin = *known.merged.sources.get(key)?;
    let spec = known.merged.state.specs.get(key)?;
    let made = known.made.sources.get(key).filter(|_| origin == Origin::Rest);
    let desired = known.merged.state.sources.get(key);
    let mut status = telemetry.map(source_status).unwrap_or_default();
    if !spec.enabled {
        status.state = SourceState::Disabled;
    } else if let Some(problem) = known.merged.stuck.get(key) {
        status.state = SourceState::Stuck;
        status.message = Some(problem.clone());
    }
    let model = ModelKey::new(&key.namespace, &spec.model_ref.name);
    let state = models.state(&model);
    let in_use = telemetry.and_then(StreamTelemetry::model);
    let shown = shown_spec(spec);
    Some(Source {
        id: Arc::clone(&key.name),
        namespace: Arc::clone(&key.namespace),
        origin,
        shadows_rest: known.merged.shadowed_sources.contains(key),
        source_type: SourceType::of_uri(&spec.uri),
        uri: shown.uri.clone(),
        enabled: spec.enabled,
        has_credentials: spec.credentials_secret_ref.is_some()
            || made.is_some_and(|made| made.credentials.is_some())
            || desired.is_some_and(|desired| desired.input.credentials.is_some()),
        model: SourceModel {
            name: spec.model_ref.name.clone(),
            state: ModelPhase::of(state.as_ref()),
            failure: state.and_then(|state| state.failure),
            in_use: in_use.map(|model| ModelInUse { name: Arc::clone(&model.name), digest: Arc::clone(&model.digest) }),
        },
        spec: serde_json::to_value(&shown).unwrap_or_default(),
        status,
    })
}

/// A spec as it may be shown.
fn shown_spec(spec: &VideoSourceSpec) -> VideoSourceSpec {
    let mut shown = spec.clone();
    for uri in std::iter::once(&mut shown.uri).chain(&mut shown.fallback_uris) {
        *uri = shown_uri(uri);
    }
    shown
}

/// A URI without its user part and query. What cannot be parsed (a relative path) has neither.
fn shown_uri(uri: &str) -> String {
    url::Url::parse(uri).map_or_else(
        |_| crate::telemetry::redact(uri).into_owned(),
        |parsed| {
            // A relative `file:` URI would become an absolute one.
            if uri.starts_with("file:") && !uri.starts_with("file:/") { uri.to_owned() } else { printable_uri(&parsed) }
        },
    )
}

fn source_status(telemetry: &StreamTelemetry) -> SourceStatus {
    let format = telemetry.format();
    let failure = telemetry.last_failure();
    let time = telemetry.last_failure_time();
    SourceStatus {
        state: telemetry.state().into(),
        message: None,
        received_fps: rounded(telemetry.received_fps_now()),
        processed_fps: rounded(telemetry.processed_fps_now()),
        frames: Frames {
            received: telemetry.received(),
            decoded: telemetry.decoded(),
            processed: telemetry.processed(),
        },
        received_bytes: telemetry.received_bytes(),
        objects: telemetry.objects(),
        drops: DropReason::ALL.into_iter().map(|reason| (reason.as_str(), telemetry.dropped(reason))).collect(),
        errors: telemetry.failures().into_iter().map(|(reason, count)| (reason.as_str(), count)).collect(),
        consecutive_failures: telemetry.consecutive_failures(),
        retries: telemetry.attempts().saturating_sub(1),
        last_error: failure.zip(time).map(|(failure, time)| LastError {
            reason: failure.reason.as_str(),
            message: failure.message.clone(),
            time: rfc3339(time),
        }),
        last_frame_time: telemetry.last_received_time().map(rfc3339),
        resolution: format.as_ref().map(|format| Resolution { width: format.width, height: format.height }),
        codec: format.map(|format| Arc::clone(&format.codec)),
        latency_ms: latency(telemetry),
        last_request_id: telemetry.request().map(|request| request.to_string()),
    }
}

fn latency(telemetry: &StreamTelemetry) -> Option<Latency> {
    let recorded = telemetry.latency();
    let at = |quantile: f64| recorded.value_at_quantile(quantile) as f64 / 1e3;
    (!recorded.is_empty()).then(|| Latency {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        mean: rounded(recorded.mean() / 1e3),
        max: recorded.max() as f64 / 1e3,
    })
}

/// To three digits after the point.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn rfc3339(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

/// What is known of the model `key`; `None` where there is none.
pub(super) fn model(key: &ModelKey, known: &Snapshot, models: &Models) -> Option<ModelAnswer> {
    let origin = *known.merged.models.get(key)?;
    let desired = known.merged.state.models.get(key)?;
    let mut spec = desired.spec.clone();
    spec.source.url = spec.source.url.as_deref().map(shown_uri);
    let state = models.state(key);
    let uses = |(source, spec): (&SourceKey, &Arc<VideoSourceSpec>)| {
        (source.namespace == key.namespace && *spec.model_ref.name == *key.name).then(|| Arc::clone(&source.name))
    };
    let opened = state.as_ref().and_then(|state| state.ready.as_ref()).map(|model| {
        let info = model.info();
        OpenedModel {
            digest: Arc::clone(&info.digest),
            layout: info.layout.as_str(),
            input: Resolution { width: info.input.width, height: info.input.height },
            max_batch: info.input.max_batch,
            labels: info.labels.to_vec(),
        }
    });
    Some(ModelAnswer {
        id: Arc::clone(&key.name),
        namespace: Arc::clone(&key.namespace),
        origin,
        spec: serde_json::to_value(&spec).unwrap_or_default(),
        state: ModelPhase::of(state.as_ref()),
        failure: state.and_then(|state| state.failure),
        used_by: known.merged.state.specs.iter().filter_map(uses).collect(),
        opened,
    })
}
