//! A pod joins a fleet that is full.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{Bound, Stage, TWO_INTERVALS};
use crate::{cluster::ScenarioError, report::Row};

const CAMERAS: usize = 16;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let began = Timestamp::now();
    stage.cluster.request(3, CAMERAS).await?;
    // Epochs that were seen: every move of a camera has one of its own.
    let epochs = std::cell::RefCell::new(BTreeMap::<String, BTreeSet<i64>>::new());
    stage
        .cluster
        .wait("the third pod has its share", Duration::from_mins(5), async || {
            let now = stage.bindings().await?;
            for (name, bound) in &now {
                epochs.borrow_mut().entry(name.clone()).or_default().insert(bound.epoch);
            }
            let loads = loads(&now);
            Ok((loads.len() == 3 && loads.values().min() >= Some(&(CAMERAS / 3))).then_some(()))
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
    let imbalance = most * 3.0 / CAMERAS as f64;
    // 16 cameras on three pods: 6, 5 and 5 is as even as they go.
    let best = CAMERAS.div_ceil(3) as f64 * 3.0 / CAMERAS as f64;
    Ok(vec![
        Row::at_most("fullest pod over the mean", best.max(1.15), imbalance, ""),
        Row::exactly("moves", CAMERAS / 3, moves),
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
