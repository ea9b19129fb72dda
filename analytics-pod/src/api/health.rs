//! How the pod does: what the probes and `/health` answer from.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::{Source, SourceState};
use crate::{assign::rest::Unreadable, telemetry::OutputTelemetry};

/// Where the pod is in its life. A camera that fails changes nothing here.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    stopping: AtomicBool,
}

impl Health {
    /// Models are open and sources are being run.
    pub fn set_started(&self) {
        self.started.store(true, Relaxed);
    }

    /// The end has begun.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Whether the start is over.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// Whether the pod does its work: started and not ending.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_started() && !self.stopping.load(Relaxed)
    }
}

/// How the pod does, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every source does what is asked of it, or is on its way there for the first time.
    Healthy,
    /// Some sources do not, an output cannot be written, or something in the state folder cannot be read.
    Degraded,
    /// None of the sources does, or the pod is starting or ending.
    Unhealthy,
}

/// How the pod does, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// In a word.
    pub status: Verdict,
    /// Why not healthy, one sentence each.
    pub reasons: Vec<String>,
    /// Every source that is enabled.
    pub sources: Vec<SourceHealth>,
}

/// How a source does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceHealth {
    /// Its name.
    pub id: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Whether it does what is asked of it, or is on its way there for the first time.
    pub healthy: bool,
    /// What it does.
    pub state: SourceState,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl SourceHealth {
    fn of(source: &Source) -> Self {
        let status = &source.status;
        let last_error = status.last_error.as_ref().map(|error| format!("{}: {}", error.reason, error.message));
        let reason = match status.state {
            SourceState::Disabled => None,
            SourceState::Stuck => Some(status.message.clone().unwrap_or_default()),
            // One that streams may be looked at by the model before.
            SourceState::Idle | SourceState::Streaming => source.model.failure.as_ref().map(ToString::to_string),
            SourceState::Connecting | SourceState::Ended if status.consecutive_failures == 0 => None,
            SourceState::Connecting | SourceState::Stalled | SourceState::Backoff | SourceState::Ended => {
                Some(last_error.unwrap_or_else(|| "no frames".to_owned()))
            }
        };
        let (id, namespace) = (Arc::clone(&source.id), Arc::clone(&source.namespace));
        Self { id, namespace, healthy: reason.is_none(), state: status.state, reason }
    }
}

impl HealthReport {
    /// How a pod does whose sources and outputs do like this, and that could not read this of its state folder.
    pub(super) fn of(
        health: &Health,
        sources: &[Source],
        outputs: &[Arc<OutputTelemetry>],
        unreadable: &[Unreadable],
    ) -> Self {
        let sources: Vec<SourceHealth> = sources.iter().filter(|source| source.enabled).map(SourceHealth::of).collect();
        let mut reasons: Vec<String> = sources
            .iter()
            .filter_map(|source| Some(format!("{}/{}: {}", source.namespace, source.id, source.reason.as_ref()?)))
            .collect();
        let troubles = outputs.iter().filter_map(|output| Some((output.name(), output.trouble()?)));
        let troubles: Vec<String> = troubles.map(|(name, error)| format!("output {name}: {error}")).collect();
        let is_whole = troubles.is_empty() && unreadable.is_empty();
        reasons.extend(troubles);
        reasons.extend(unreadable.iter().map(|file| format!("state folder: {file}")));
        if !health.is_ready() {
            reasons.insert(0, "the pod is starting or ending".to_owned());
        }
        let healthy = sources.iter().filter(|source| source.healthy).count();
        let streams = sources.iter().any(|source| source.state == SourceState::Streaming);
        let status = match (health.is_ready(), healthy) {
            (true, healthy) if healthy == sources.len() && is_whole => Verdict::Healthy,
            (true, healthy) if healthy > 0 || streams || sources.is_empty() => Verdict::Degraded,
            _ => Verdict::Unhealthy,
        };
        Self { status, reasons, sources }
    }
}
