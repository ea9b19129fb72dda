//! The series of models.

use std::collections::BTreeSet;

use prometheus::proto::{LabelPair, MetricFamily};

use super::family::{Family, label};
use crate::{
    assign::ModelKey,
    telemetry::{Telemetry, confidence::CONFIDENCE_BOUNDS, models::LOAD_BOUNDS},
};

/// The labels of a model's series, and `extra`.
fn labels(key: &ModelKey, extra: Option<(&str, &str)>) -> Vec<LabelPair> {
    let mut labels = vec![label("namespace", &key.namespace), label("model", &key.name)];
    labels.extend(extra.map(|(name, value)| label(name, value)));
    labels
}

pub(super) fn families(telemetry: &Telemetry) -> Vec<MetricFamily> {
    let mut loads = Family::counter(
        "vision_pod_model_loads_total",
        "Times that a model was fetched and opened, by result: Ready, or why it could not be.",
    );
    let mut times = Family::histogram(
        "vision_pod_model_load_seconds",
        "Time to fetch, verify and open a model, of loads that succeeded.",
    );
    let mut loaded = Family::gauge("vision_pod_model_loaded", "1 for each model that is open.");
    let mut confidences = Family::histogram(
        "vision_pod_object_confidence",
        "Confidence of the objects in published frames, by class; those beyond the first 80 of a model are one.",
    );
    for (key, model) in telemetry.models().all() {
        for (result, count) in &model.loads {
            loads.push(labels(&key, Some(("result", result))), *count as f64);
        }
        if let Some(info) = &model.open {
            times.push_histogram(labels(&key, None), &LOAD_BOUNDS, &model.times.buckets, model.times.sum);
            let mut of_model = labels(&key, Some(("digest", &info.digest)));
            of_model.push(label("layout", info.layout.as_str()));
            loaded.push(of_model, 1.0);
        }
        for (class, counts) in model.confidences.iter().flat_map(|confidences| confidences.seen()) {
            let labels = labels(&key, Some(("class", &class)));
            confidences.push_histogram(labels, &CONFIDENCE_BOUNDS, &counts.buckets, counts.sum);
        }
    }
    vec![loads.finish(), times.finish(), loaded.finish(), in_use(telemetry), confidences.finish()]
}

fn in_use(telemetry: &Telemetry) -> MetricFamily {
    let mut family = Family::gauge("vision_pod_model_info", "1 for each model that detects in a source.");
    let sources = telemetry.sources();
    let models: BTreeSet<_> = sources
        .values()
        .filter_map(|stream| stream.model())
        .map(|model| (model.name.clone(), model.digest.clone(), model.layout.as_str()))
        .collect();
    for (name, digest, layout) in models {
        family.push(vec![label("model", &name), label("digest", &digest), label("layout", layout)], 1.0);
    }
    family.finish()
}
