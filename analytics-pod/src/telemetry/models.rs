//! What became of each model that the pod was asked to open, and how sure it is of what it reports.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::confidence::Confidences;
use crate::{assign::ModelKey, model::ModelInfo};

/// The word for a load that succeeded; every other one is why it did not.
pub(super) const LOADED: &str = "Ready";

/// Upper bounds of the buckets of load times in seconds: a small model from the disk to a large one from far away.
pub(super) const LOAD_BOUNDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Durations by the buckets of [`LOAD_BOUNDS`], the last one for what is over every bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LoadTimes {
    pub(super) buckets: [u64; LOAD_BOUNDS.len() + 1],
    /// In seconds.
    pub(super) sum: f64,
}

impl LoadTimes {
    fn record(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.buckets[LOAD_BOUNDS.iter().take_while(|bound| seconds > **bound).count()] += 1;
        self.sum += seconds;
    }
}

/// What is known of one model.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelRecord {
    /// Loads by result: [`LOADED`], or why not.
    pub(super) loads: BTreeMap<&'static str, u64>,
    /// Of loads that succeeded, the download included.
    pub(super) times: LoadTimes,
    /// What runs, or could.
    pub(super) open: Option<Arc<ModelInfo>>,
    pub(super) confidences: Option<Arc<Confidences>>,
}

/// The models that the pod is asked to have now.
#[derive(Debug, Default)]
pub struct ModelTelemetry(Mutex<BTreeMap<ModelKey, ModelRecord>>);

impl ModelTelemetry {
    fn records(&self) -> MutexGuard<'_, BTreeMap<ModelKey, ModelRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pod is asked to have these models, some of which are open already. The series of all others vanish.
    pub fn keep(&self, models: &BTreeMap<ModelKey, Option<Arc<ModelInfo>>>) {
        let mut records = self.records();
        records.retain(|key, _| models.contains_key(key));
        for (key, open) in models {
            let record = records.entry(key.clone()).or_default();
            if let Some(info) = open {
                record.opened(info);
            }
        }
    }

    /// A model was opened within `time`, its download included.
    pub fn count_loaded(&self, key: &ModelKey, info: &Arc<ModelInfo>, time: Duration) {
        if let Some(record) = self.records().get_mut(key) {
            *record.loads.entry(LOADED).or_default() += 1;
            record.times.record(time);
            record.opened(info);
        }
    }

    /// A model could not be opened, for a reason in a word.
    pub fn count_failed(&self, key: &ModelKey, reason: &'static str) {
        if let Some(record) = self.records().get_mut(key) {
            *record.loads.entry(reason).or_default() += 1;
        }
    }

    /// Where to count the confidences of a model's objects; `None` where the pod does not have it any more.
    pub(super) fn confidences(&self, key: &ModelKey, labels: &[Arc<str>]) -> Option<Arc<Confidences>> {
        self.records().get(key)?.confidences.clone().filter(|confidences| confidences.is_for(labels))
    }

    /// Everything that is known now.
    pub(super) fn all(&self) -> BTreeMap<ModelKey, ModelRecord> {
        self.records().clone()
    }
}

impl ModelRecord {
    fn opened(&mut self, info: &Arc<ModelInfo>) {
        let before = self.confidences.as_ref();
        if !before.is_some_and(|confidences| confidences.is_for(&info.labels)) {
            self.confidences = Some(Arc::new(Confidences::new(&info.labels, before.map(AsRef::as_ref))));
        }
        self.open = Some(Arc::clone(info));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::telemetry::test_support::model_info;

    fn key() -> ModelKey {
        ModelKey::new("shop", "starter")
    }

    #[test]
    fn loads_are_counted_by_result_until_the_model_goes() {
        let models = ModelTelemetry::default();
        models.count_failed(&key(), "FetchFailed");
        assert!(models.all().is_empty(), "a model that nobody asked for has no series");
        models.keep(&[(key(), None)].into());
        models.count_failed(&key(), "FetchFailed");
        models.count_loaded(&key(), &model_info("starter", &["person"]), Duration::from_millis(300));
        let record = models.all().remove(&key()).unwrap();
        assert_eq!(record.loads, [("FetchFailed", 1), (LOADED, 1)].into());
        assert_eq!(record.times.buckets, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(record.open.is_some());
        models.keep(&BTreeMap::new());
        assert!(models.all().is_empty());
    }

    #[test]
    fn confidences_are_for_the_labels_that_the_model_has() {
        let models = ModelTelemetry::default();
        let (two, three) = (model_info("starter", &["a", "b"]), model_info("starter", &["a", "b", "c"]));
        models.keep(&[(key(), Some(Arc::clone(&two)))].into());
        let first = models.confidences(&key(), &two.labels).unwrap();
        models.count_loaded(&key(), &two, Duration::ZERO);
        assert!(Arc::ptr_eq(&first, &models.confidences(&key(), &two.labels).unwrap()));
        models.count_loaded(&key(), &three, Duration::ZERO);
        assert!(models.confidences(&key(), &two.labels).is_none());
        assert!(models.confidences(&key(), &three.labels).is_some());
    }
}
