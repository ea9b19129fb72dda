//! What an analytics pod that serves in a cluster answers on `GET /api/v1/status` of the port that only the operator may
//! ask (mutual TLS), once a second. Both sides use these types.
//!
//! A field that one side does not know is ignored, one that is absent has its default, and an unknown word becomes the
//! least that can be made of it: pods and operator of neighbouring versions understand each other.

use serde::{Deserialize, Serialize};

use crate::EngineChoice;

/// Where a pod serves its report.
pub const PATH: &str = "/api/v1/status";

/// How a pod does, and each of its sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodReport {
    /// The pod's own name; a report of another pod, from an address that was given anew, is not this pod's.
    pub pod: String,
    /// The version of the program.
    pub version: String,
    /// When this run of the container began, Unix milliseconds. Another one means that it was restarted.
    pub session: i64,
    /// SIGTERM has come: the pod serves until its sources are released, and takes no new ones.
    pub terminating: bool,
    /// The model.
    pub model: ModelReport,
    /// The engine, once chosen; never `Auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineChoice>,
    /// What the pod can take, measured before it serves. Absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Rates>,
    /// How long frames have been waiting without one of them being inferred, in milliseconds; 0 while none wait. Grows
    /// when the engine hangs, not when cameras do.
    pub engine_stalled_ms: u64,
    /// Each source that the pod holds, warming ones too. What was released is no longer here.
    pub sources: Vec<SourceReport>,
}

/// Streams and what they take, or what a pod can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rates {
    /// Streams; 0: no limit known.
    pub streams: u32,
    /// Thousandths of an inference per second.
    pub milli_inferences_per_second: u64,
    /// Microseconds of decoder time per second.
    pub decode_micros_per_second: u64,
}

/// How far a pod is with its model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelReport {
    /// The `metadata.generation` of the DetectionModel that is in use.
    pub generation: i64,
    /// The digest of the weights in use, as `sha256:` and 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How far the newest generation is.
    pub phase: ModelPhase,
    /// Why the newest generation cannot be used, as one stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a pod is with a generation of its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelPhase {
    /// In use.
    Ready,
    /// Cannot be used; a generation before it may still be in use.
    Failed,
    /// Being fetched, opened or tested.
    #[default]
    #[serde(other)]
    Loading,
}

/// How a source does on a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceReport {
    /// The namespace of the VideoSource.
    pub namespace: String,
    /// The name of the VideoSource.
    pub name: String,
    /// The epoch of the binding that is carried out.
    pub epoch: i64,
    /// How far the pod is with this binding.
    pub phase: Phase,
    /// What the stream does.
    pub state: SourceState,
    /// Why it does not stream, as one stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same as a sentence, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long `state` has been what it is, in milliseconds.
    pub state_ms: u64,
    /// When the last frame arrived, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_frame_ms: Option<i64>,
    /// What the stream takes, measured over the last 10 s; absent while it does not stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand: Option<Rates>,
    /// Width of the pictures in pixels, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of the pictures in pixels, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How the video is encoded, once known (`H264`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
}

/// How far a pod is with a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// For a handover: frames are decoded and inferred; nothing is published.
    Warm,
    /// Assigned: what is seen is published.
    Active,
    /// No longer assigned: the connection is being closed.
    Releasing,
    /// For a handover: the stream is being opened; nothing is published.
    #[default]
    #[serde(other)]
    Warming,
}

/// What a stream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceState {
    /// Frames arrive and are looked at.
    Streaming,
    /// The connection stands, but no frame comes.
    Stalled,
    /// Waiting for the next attempt.
    Backoff,
    /// A finite input was played to its end.
    Completed,
    /// Given up after `recovery.maxAttempts`.
    Failed,
    /// Connecting for the first time, or a word that this version does not know.
    #[default]
    #[serde(other)]
    Connecting,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_another_version_is_understood() {
        let text = r#"{
            "pod": "people-1", "session": 5, "model": { "phase": "Distilled" }, "fieldOfTheFuture": {},
            "sources": [{ "namespace": "a", "name": "b", "epoch": 7, "phase": "Lukewarm", "state": "Dreaming" }]
        }"#;
        let report: PodReport = serde_json::from_str(text).unwrap();
        assert_eq!(report.model.phase, ModelPhase::Loading);
        assert_eq!(report.sources[0].phase, Phase::Warming);
        assert_eq!(report.sources[0].state, SourceState::Connecting);
        assert_eq!(report.sources[0].epoch, 7);
    }

    #[test]
    fn a_report_comes_back_as_it_was() {
        let source = SourceReport {
            namespace: "yard".to_owned(),
            name: "gate".to_owned(),
            epoch: 1_700_000_000_000,
            phase: Phase::Active,
            state: SourceState::Streaming,
            demand: Some(Rates { streams: 1, milli_inferences_per_second: 10_000, decode_micros_per_second: 13_200 }),
            ..SourceReport::default()
        };
        let report = PodReport { sources: vec![source], engine: Some(EngineChoice::Native), ..PodReport::default() };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<PodReport>(&text).unwrap(), report);
    }
}
