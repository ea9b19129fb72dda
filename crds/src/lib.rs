//! The two resources that a user of vision-operator writes: [`VideoSource`] (a camera or file to watch) and
//! [`DetectionModel`] (what to watch it with).
//!
//! The Rust types are the single source of the schema: [`manifests`] prints the `CustomResourceDefinition`s that are
//! checked in under `generated/`. What a schema cannot say stands twice, side by side: as a CEL rule for the API
//! server and as a pure function ([`VideoSourceSpec::violations`], [`DetectionModelSpec::violations`]) for everyone
//! who takes objects without one; a test holds the two together.
//!
//! On the wire the types are lenient: unknown fields are ignored, and absent ones have their defaults. Objects that
//! still cannot be read (written under another version of the schema) fail alone when a watch asks for
//! `kube::core::DeserializeGuard<VideoSource>`.

mod detection_model;
mod duration;
mod generate;
pub mod report;
mod schema;
mod serving;
mod uri;
mod validate;
mod video_source;

pub use detection_model::{
    ColorOrder, DetectionModel, DetectionModelSpec, DetectionModelStatus, Device, InputSize, Layout, Letterbox,
    ModelSource, NamedConfidence, Precision, Preprocess, Thresholds,
};
pub use duration::{Duration, ParseDurationError};
pub use generate::{GenerateError, definitions, manifests, plain_definitions};
pub use schema::expectation;
pub use serving::{
    Capacity, EngineChoice, Gpu, ImagePullSecret, PodTemplate, Rebalance, Resources, ScaleDown, Serving, Update,
};
pub use uri::{KNOWN_SCHEMES, RTP_ENCODINGS, Scheme};
pub use validate::Violation;
pub use video_source::{
    Assignment, Capture, CaptureFormat, Detection, Handover, ModelRef, Protocol, Recovery, SecretRef, StreamState,
    Tracking, Transport, VideoSource, VideoSourceSpec, VideoSourceStatus,
};

/// The API group of both kinds.
pub const GROUP: &str = "vision-operator.dev";

/// The `apiVersion` of both kinds.
pub const API_VERSION: &str = "vision-operator.dev/v1alpha1";
