//! The pod as a whole.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Services,
    answers::{Source, SourceState},
    health::Verdict,
};
use crate::telemetry::{memory, memory_limit, process_cpu};

/// The pod as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// The program's version.
    pub version: &'static str,
    /// What decodes and detects.
    pub engine: &'static str,
    /// Seconds since the pod began.
    pub uptime_seconds: f64,
    /// How it does.
    pub health: Verdict,
    /// Sources by what they do.
    pub sources: SourceCounts,
    /// Models that are known.
    pub models: usize,
    /// Frames that arrived per second, of all sources, over the last 5 s.
    pub received_fps: f64,
    /// Frames that were published per second, of all sources, over the last 5 s.
    pub processed_fps: f64,
    /// Processor cores that the pod may use.
    pub cores: usize,
    /// CPU time of the process so far, in seconds.
    pub cpu_seconds: f64,
    /// Memory of the process, where the system tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryUse>,
    /// Where sources and models that are made over REST are kept; absent: nothing can be changed over REST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_folder: Option<String>,
    /// Files of the state folder that could not be used at the start, and why.
    pub unreadable_state: Vec<String>,
}

/// How many sources there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceCounts {
    /// All of them.
    pub total: usize,
    /// Those that frames come from.
    pub streaming: usize,
    /// Those that are not enabled.
    pub disabled: usize,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryUse {
    /// Resident, shared pages counted whole.
    pub resident_bytes: u64,
    /// Resident, shared pages divided among the processes that share them.
    pub proportional_bytes: u64,
    /// The control group's limit, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

/// How the pod does now, with these sources and that verdict on them.
pub(super) fn pod_status(services: &Services, sources: &[Source], health: Verdict) -> PodStatus {
    let in_state = |state: SourceState| sources.iter().filter(|source| source.status.state == state).count();
    // The sum of nothing is -0.0.
    let in_all = |figure: fn(&Source) -> f64| sources.iter().map(figure).fold(0.0, |sum, figure| sum + figure);
    let limit_bytes = memory_limit();
    PodStatus {
        version: env!("CARGO_PKG_VERSION"),
        engine: services.engine,
        uptime_seconds: services.telemetry.uptime().as_secs_f64(),
        health,
        sources: SourceCounts {
            total: sources.len(),
            streaming: in_state(SourceState::Streaming),
            disabled: in_state(SourceState::Disabled),
        },
        models: services.registry.snapshot().merged.models.len(),
        received_fps: in_all(|source| source.status.received_fps),
        processed_fps: in_all(|source| source.status.processed_fps),
        cores: services.cores,
        cpu_seconds: process_cpu().as_secs_f64(),
        memory: memory().ok().map(|memory| MemoryUse {
            resident_bytes: memory.resident,
            proportional_bytes: memory.proportional,
            limit_bytes,
        }),
        state_folder: services.registry.folder().map(|folder| folder.display().to_string()),
        unreadable_state: services.registry.unreadable().iter().map(ToString::to_string).collect(),
    }
}
