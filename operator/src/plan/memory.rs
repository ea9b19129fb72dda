//! What has to be remembered from one round to the next. An operator that has just begun remembers nothing: then waits
//! and cool-downs begin anew, and nothing is lost.

use std::{collections::HashMap, sync::Arc};

use super::{Camera, Holding, Key, Load, Snapshot, limits};

/// What one round hands to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub(super) sources: HashMap<Key, SourceMemory>,
    pub(super) models: HashMap<Key, ModelMemory>,
    /// When the first round was.
    pub(super) began: Option<i64>,
}

/// What is remembered of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SourceMemory {
    /// The measured demand that is counted in place of that of the spec.
    pub(super) demand: Option<Load>,
    /// Since when measurements have been far from what is counted.
    pub(super) deviating_since: Option<i64>,
    /// The pod that is letting go of it, and since when.
    pub(super) release: Option<(Arc<str>, i64)>,
    /// Until when it is left where it is.
    pub(super) hold_until: i64,
    /// Since when its camera has been failing.
    pub(super) failing_since: Option<i64>,
    /// The pods that its camera has failed on.
    pub(super) tried: Vec<Arc<str>>,
}

/// What is remembered of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ModelMemory {
    /// When the balance of its pods is looked at again.
    pub(super) next_round: i64,
    /// Streams that may still move in this round although nothing presses.
    pub(super) gentle_budget: u64,
    /// Pods that there were when outdated ones began to be replaced.
    pub(super) replacing: Option<u64>,
    /// Since when fewer pods would have been enough.
    pub(super) surplus_since: Option<i64>,
    /// Pods that ended by themselves, without one that served since.
    pub(super) failures: u32,
    /// No pod is made before.
    pub(super) create_not_before: i64,
}

impl Memory {
    /// Forgets objects that are gone and takes in what the pods measured.
    pub(super) fn update(&mut self, snapshot: &Snapshot) {
        self.sources.retain(|key, _| snapshot.sources.contains_key(key));
        self.models.retain(|key, _| snapshot.models.contains_key(key));
        // What was measured before the operator began is believed at once: it was counted by the one before it.
        let settles = match snapshot.now - *self.began.get_or_insert(snapshot.now) {
            ..limits::ROUND => 0,
            _ => limits::DEMAND_SETTLES,
        };
        let reports: HashMap<(&str, &str), _> = snapshot
            .pods
            .iter()
            .filter_map(|(key, pod)| Some((key.parts(), &pod.report.as_ref()?.sources)))
            .filter(|(_, sources)| !sources.is_empty())
            .collect();
        if reports.is_empty() {
            return;
        }
        for (key, source) in &snapshot.sources {
            let Some(assignment) = &source.assignment else { continue };
            let holdings = reports.get(&(&*key.namespace, &*assignment.pod));
            let holding = holdings.and_then(|holdings| holdings.get(key));
            let Some(holding) = holding.filter(|holding| holding.epoch == assignment.epoch) else { continue };
            let remembered = self.sources.get(key);
            let observation = Observation { holding, pod: &assignment.pod, of_spec: source.demand, settles };
            if let Some(changed) = observation.after(remembered, snapshot.now) {
                self.sources.insert(key.clone(), changed);
            }
        }
    }
}

/// What a pod tells of a source that it has.
struct Observation<'a> {
    holding: &'a Holding,
    pod: &'a Arc<str>,
    of_spec: Load,
    /// For how long a measurement must differ before it counts.
    settles: i64,
}

impl Observation<'_> {
    /// What is to be remembered after it, if that changes.
    fn after(&self, remembered: Option<&SourceMemory>, now: i64) -> Option<SourceMemory> {
        let Self { holding, pod, of_spec, settles } = *self;
        let default = SourceMemory::default();
        let before = remembered.unwrap_or(&default);
        let mut after = before.clone();
        if holding.camera == Camera::Streaming {
            after.failing_since = None;
            after.tried.clear();
        } else {
            let since = *after.failing_since.get_or_insert(now);
            if now - since >= limits::CAMERA_FAILS && !after.tried.contains(pod) {
                after.tried.push(pod.clone());
            }
        }
        if let Some(measured) = holding.demand.map(|demand| Load { streams: 1, ..demand }.rounded_down()) {
            if measured.deviates(before.demand.unwrap_or(of_spec), limits::DEMAND_PERCENT) {
                let since = *after.deviating_since.get_or_insert(now);
                if now - since >= settles {
                    after.demand = Some(measured);
                    after.deviating_since = None;
                }
            } else {
                after.deviating_since = None;
            }
        }
        (after != *before).then_some(after)
    }
}
