//! A pod joins a fleet that is full.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{Bound, Stage, TWO_INTERVALS};
use crate::{cluster::ScenarioError, objects::Model, report::Row};

const CAMERAS: usize = 16;

/// Pods before and after.
const PODS: [usize; 2] = [2, 3];

/// Load of the fullest pod over the mean that is even enough, unless cameras are too large for it.
const EVEN: f64 = 1.15;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, PODS[0], CAMERAS).await?;
    let began = Timestamp::now();
    stage.cluster.apply_model(&Model::of(PODS[1], CAMERAS)).await?;
    let mean = CAMERAS as f64 / PODS[1] as f64;
    let even = EVEN.max(CAMERAS.div_ceil(PODS[1]) as f64 / mean);
    // What the pods that are there have above an even share must leave them, and nothing else needs to.
    let share = (even * mean).floor() as usize;
    let least: usize = loads(&before).values().map(|load| load.saturating_sub(share)).sum();
    // Epochs that were seen: every move of a camera has one of its own.
    let epochs = std::cell::RefCell::new(BTreeMap::<String, BTreeSet<i64>>::new());
    stage
        .cluster
        .wait("every pod has its share", Duration::from_mins(5), async || {
            let now = stage.bindings().await?;
            for (name, bound) in &now {
                epochs.borrow_mut().entry(name.clone()).or_default().insert(bound.epoch);
            }
            let loads = loads(&now);
            Ok((loads.len() == PODS[1] && loads.values().all(|load| *load <= share)).then_some(()))
        })
        .await?;
    let after = stage.settle().await?;
    for (name, bound) in &after {
        epochs.borrow_mut().entry(name.clone()).or_default().insert(bound.epoch);
    }
    let moves = epochs
        .into_inner()
        .into_iter()
        .map(|(name, mut seen)| {
            seen.extend(before.get(&name).map(|bound| bound.epoch));
            seen.len() - 1
        })
        .sum();
    let loads = loads(&after);
    let most = loads.values().max().copied().unwrap_or_default() as f64;
    Ok(vec![
        Row::at_most("fullest pod over the mean", even, most / mean, ""),
        Row::exactly("moves", least, moves),
        Row::at_most("longest gap", TWO_INTERVALS, stage.longest_gap(before.keys(), began).await, "s"),
        stage.duplicates(),
    ])
}

fn loads(bindings: &BTreeMap<String, Bound>) -> BTreeMap<&str, usize> {
    let mut loads = BTreeMap::new();
    for bound in bindings.values() {
        *loads.entry(&*bound.pod).or_default() += 1;
    }
    loads
}
