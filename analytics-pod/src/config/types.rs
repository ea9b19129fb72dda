//! The configuration with its types; its schema is what files are held against.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use crds::{Detection, Duration, EngineChoice};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::units::{ByteSize, OutputTarget};
use crate::rotating_file::Rotation;

/// Everything that a run is told, after all layers. What is optional is the pod's to choose where it is null.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Address and port of the HTTP API, its page `/docs`, metrics and probes. Port 0: any free one.
    #[schemars(schema_with = "address")]
    pub listen: SocketAddr,
    /// The HTTP API.
    pub api: Api,
    /// Prometheus metrics.
    pub metrics: Metrics,
    /// The folder of what is made over HTTP; one pod a folder. Null: `~/.local/state/vision-operator`, and if another
    /// pod has that, nothing can be changed over HTTP.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub state_folder: Option<PathBuf>,
    /// The folder that fetched models stay in. Null: the user's cache folder.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub cache_dir: Option<PathBuf>,
    /// The ONNX Runtime library. Null: it is searched for.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub onnxruntime: Option<PathBuf>,
    /// The model of sources that name none: a built-in one, an ONNX file, or a DetectionModel manifest.
    #[schemars(length(min = 1, max = 4096))]
    pub model: String,
    /// End after this long. Null: never.
    #[schemars(schema_with = "duration")]
    pub max_duration: Option<Duration>,
    /// Manifests, and folders of manifests; both are watched for changes.
    #[schemars(with = "Vec<String>", length(max = 1000), inner(length(min = 1, max = 4096)))]
    pub files: Vec<PathBuf>,
    /// Sources, each in the short form of the HTTP API (`id`, `uri`, and any field of `VideoSource.spec`) or as a
    /// manifest. A login stays in its Secret, which a manifest of `files` brings.
    #[schemars(schema_with = "objects")]
    pub sources: Vec<Value>,
    /// Models, each in the short form of the HTTP API (`id`, `source`, and any field of `DetectionModel.spec`) or as a
    /// manifest.
    #[schemars(schema_with = "objects")]
    pub models: Vec<Value>,
    /// Where observations go: `stdout`, `none`, `file:PATH` (a JSON line each, rotated) or `frames:FOLDER` (a JSON file
    /// for each frame with objects).
    #[schemars(length(min = 1, max = 16))]
    pub outputs: Vec<OutputTarget>,
    /// How `file:` outputs are rotated.
    pub rotation: RotationSettings,
    /// Figures of the run.
    pub statistics: Statistics,
    /// The log.
    pub log: Log,
    /// What sources detect that do not say it themselves. Null: the model's own.
    #[schemars(schema_with = "detection")]
    pub detection: Detection,
    /// The detector's use of this machine.
    pub detector: Detector,
    /// NVIDIA DeepStream, where it is the engine.
    pub deepstream: DeepStream,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// A file with the token that requests to `/api` must carry (`Authorization: Bearer …`). Null: everyone who reaches
    /// the address may change sources.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub token_file: Option<PathBuf>,
    /// The largest document that a request may bring.
    pub max_body: ByteSize,
}

/// Prometheus metrics.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Their path on the HTTP server.
    #[schemars(length(min = 2, max = 256), regex(pattern = "^(/[A-Za-z0-9._~-]+)+$"), extend("examples" = ["/metrics"]))]
    pub path: String,
}

/// How a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationSettings {
    /// Begin the file anew at this size.
    pub size: ByteSize,
    /// Older files that are kept.
    #[schemars(range(min = 0, max = 10000))]
    pub keep: u32,
}

impl From<RotationSettings> for Rotation {
    fn from(settings: RotationSettings) -> Self {
        Self { max_bytes: settings.size.get(), keep: settings.keep }
    }
}

/// Figures of the run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// The file that figures of the whole run are written into (JSON) at the end. Null: none.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub file: Option<PathBuf>,
    /// How often each source is told in the log where standard error is no terminal.
    #[schemars(schema_with = "duration")]
    pub interval: Duration,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, and levels of single parts, as in
    /// `warn,analytics_pod=info,analytics_pod::source=debug`.
    #[schemars(length(min = 1, max = 1024))]
    pub level: String,
    /// Lines of standard error: `Text` for people, `JSON` for programs, `Auto` for whoever reads them.
    #[schemars(schema_with = "formats")]
    pub format: LogFormat,
    /// The file that the log is written into too, as JSON. Null: none.
    #[schemars(with = "Option<String>", length(min = 1, max = 4096))]
    pub file: Option<PathBuf>,
    /// How the log file is rotated.
    pub rotation: RotationSettings,
}

/// Lines of the log on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `Text` at a terminal, else `JSON`.
    Auto,
    /// For people.
    Text,
    /// For programs.
    #[serde(rename = "JSON")]
    Json,
}

/// The detector's use of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Detector {
    /// What decodes and detects: `Native` (GStreamer and ONNX Runtime), `DeepStream`, or `Auto`, which takes DeepStream
    /// where it is installed whole and there is a GPU. The log says why.
    #[schemars(schema_with = "engines")]
    pub engine: EngineChoice,
    /// Threads that each run the model on a frame of their own. Null: one for each core.
    #[schemars(with = "Option<u32>", range(min = 1, max = 1024))]
    pub workers: Option<NonZeroUsize>,
}

/// NVIDIA DeepStream, where it is the engine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepStream {
    /// The folder that it is installed in.
    #[schemars(with = "String", length(min = 1, max = 4096))]
    pub folder: PathBuf,
    /// The library that reads models' outputs for nvinfer.
    #[schemars(with = "String", length(min = 1, max = 4096))]
    pub parsers: PathBuf,
    /// The GPU's number.
    #[schemars(range(min = 0, max = 63))]
    pub gpu: u32,
    /// Sources of a model at the most, and so pictures in a batch.
    #[schemars(range(min = 1, max = 1024))]
    pub capacity: u32,
    /// Width in pixels to which all pictures are scaled before they are inferred: that of most cameras.
    #[schemars(range(min = 32, max = 8192))]
    pub width: u32,
    /// Height in pixels to which all pictures are scaled before they are inferred.
    #[schemars(range(min = 32, max = 8192))]
    pub height: u32,
    /// Buffers in the mux's pool. Null: the mux's own number.
    #[schemars(with = "Option<u32>", range(min = 1, max = 256))]
    pub buffer_pool: Option<u32>,
    /// Kind of the mux's memory (`nvbuf-memory-type`). Null: the mux's own.
    #[schemars(with = "Option<u32>", range(min = 0, max = 4))]
    pub memory_type: Option<u32>,
    /// How long nvinfer may take to load a model. The first time it builds an engine of it, which takes minutes.
    #[schemars(schema_with = "duration")]
    pub start_timeout: Duration,
}

fn engines(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Auto", "Native", "DeepStream"] })
}

fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$",
        "examples": ["127.0.0.1:8080", "[::1]:8080"],
    })
}

fn duration(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Duration>()
}

fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 100_000, "items": { "type": "object", "additionalProperties": {} } })
}

fn formats(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Auto", "Text", "JSON"] })
}

/// As sources have it.
fn detection(_: &mut SchemaGenerator) -> Schema {
    let schema = crate::assign::spec_schema(crate::assign::Kind::VideoSource)["properties"]["detection"].clone();
    Schema::try_from(schema).unwrap_or_default()
}
