//! A `DetectionModel` as the planner sees it.

use crds::{Capacity, DetectionModel};

use super::demand;
use crate::{
    plan::{Declared, Model, Refusal},
    pods::{Settings, Template, validate},
};

pub(super) fn fold(model: &DetectionModel, settings: &Settings) -> Model {
    let valid = validate(model, settings);
    let serving = &model.spec.serving;
    let count = |number: i32| u64::from(number.max(0).unsigned_abs());
    let (template_hash, has_gpu) = match &valid {
        Ok(valid) => (Template::new(valid, settings).hash().into(), valid.has_gpu()),
        Err(_) => ("".into(), false),
    };
    Model {
        refusal: valid
            .err()
            .map(|refused| Refusal { reason: refused.reason().into(), message: refused.to_string().into() }),
        template_hash,
        min_pods: count(serving.min_pods),
        max_pods: count(serving.max_pods),
        replicas: serving.replicas.map(count),
        declared: declared(serving.capacity),
        assumed: demand::assumed_capacity(has_gpu),
        typical: demand::typical(has_gpu),
        stabilization: i64::try_from(serving.scale_down.stabilization.get().as_millis()).unwrap_or(i64::MAX),
        rebalance_percent: serving.rebalance.enabled.then(|| count(serving.rebalance.max_moves)),
        max_surge: count(serving.update.max_surge).max(1),
    }
}

fn declared(capacity: Capacity) -> Declared {
    let thousandths = |number: i32| u64::from(number.max(0).unsigned_abs()) * 1_000;
    Declared {
        streams: capacity.streams.map(|number| u64::from(number.max(0).unsigned_abs())),
        inferences: capacity.inferences_per_second.map(thousandths),
        // Milliseconds to microseconds.
        decode: capacity.decode.map(thousandths),
    }
}
