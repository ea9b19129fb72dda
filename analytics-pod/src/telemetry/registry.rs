//! The counters of every source that the pod has now.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{OutputTelemetry, StreamTelemetry, gpus::GpuMonitor, models::ModelTelemetry};
use crate::observation::SourceKey;

/// The pod's counters. Sources come and go; the set that [`Self::sources`] returns is a consistent picture of one
/// moment.
#[derive(Debug)]
pub struct Telemetry {
    started: Instant,
    sources: ArcSwap<BTreeMap<SourceKey, Arc<StreamTelemetry>>>,
    models: Arc<ModelTelemetry>,
    outputs: ArcSwap<Vec<Arc<OutputTelemetry>>>,
    gpus: GpuMonitor,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            sources: ArcSwap::default(),
            models: Arc::default(),
            outputs: ArcSwap::default(),
            gpus: GpuMonitor::default(),
        }
    }
}

impl Telemetry {
    /// The counters of `key`, from 0 if the pod does not have it yet.
    pub fn add_source(&self, key: &SourceKey) -> Arc<StreamTelemetry> {
        let fresh = Arc::new(StreamTelemetry::new(key, Arc::clone(&self.models)));
        self.sources.rcu(|sources| {
            let mut sources = BTreeMap::clone(sources);
            sources.entry(key.clone()).or_insert_with(|| Arc::clone(&fresh));
            sources
        });
        self.source(key).unwrap_or(fresh)
    }

    /// Forgets `key`; its series vanish from the metrics.
    pub fn remove_source(&self, key: &SourceKey) {
        self.sources.rcu(|sources| {
            let mut sources = BTreeMap::clone(sources);
            sources.remove(key);
            sources
        });
    }

    /// The counters of `key`.
    #[must_use]
    pub fn source(&self, key: &SourceKey) -> Option<Arc<StreamTelemetry>> {
        self.sources.load().get(key).cloned()
    }

    /// Every source that the pod has now.
    #[must_use]
    pub fn sources(&self) -> Arc<BTreeMap<SourceKey, Arc<StreamTelemetry>>> {
        self.sources.load_full()
    }

    /// What became of the models.
    #[must_use]
    pub const fn models(&self) -> &Arc<ModelTelemetry> {
        &self.models
    }

    /// One more output, which messages and metrics call `name`.
    pub fn add_output(&self, name: impl Into<String>) -> Arc<OutputTelemetry> {
        let fresh = Arc::new(OutputTelemetry::new(name));
        self.outputs.rcu(|outputs| outputs.iter().chain([&fresh]).cloned().collect::<Vec<_>>());
        fresh
    }

    /// Every output.
    #[must_use]
    pub fn outputs(&self) -> Arc<Vec<Arc<OutputTelemetry>>> {
        self.outputs.load_full()
    }

    /// The machine's GPUs.
    pub(super) const fn gpus(&self) -> &GpuMonitor {
        &self.gpus
    }

    /// Time since the pod began.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_keeps_its_counters_until_it_is_removed() {
        let telemetry = Telemetry::default();
        let key = SourceKey::new("default", "gate");
        telemetry.add_source(&key).count_received(100);
        assert_eq!(telemetry.add_source(&key).received(), 1);
        telemetry.remove_source(&key);
        assert!(telemetry.source(&key).is_none());
        assert_eq!(telemetry.add_source(&key).received(), 0);
    }

    #[test]
    fn a_snapshot_does_not_change_when_sources_do() {
        let telemetry = Telemetry::default();
        telemetry.add_source(&SourceKey::new("default", "gate"));
        let snapshot = telemetry.sources();
        telemetry.add_source(&SourceKey::new("default", "yard"));
        assert_eq!(snapshot.len(), 1);
        assert_eq!(telemetry.sources().len(), 2);
    }
}
