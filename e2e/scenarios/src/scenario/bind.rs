//! From `kubectl apply` to the first detection.

use std::time::Duration;

use jiff::Timestamp;

use super::{Stage, percentiles, seconds};
use crate::{cluster::ScenarioError, objects::Model, report::Row};

/// Cameras, one after another.
const CAMERAS: usize = 30;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    stage.cluster.serve(&Model::of(2, 16)).await?;
    let mut times = Vec::new();
    for number in 1..=CAMERAS {
        let name = format!("newcomer-{number}");
        let applied = Timestamp::now();
        stage.add_camera(&name, number).await?;
        let first = stage
            .cluster
            .wait(&format!("{name} has detections"), Duration::from_mins(1), async || {
                Ok(stage.published.look(|ledger| ledger.first_detection(&name, 0, applied)))
            })
            .await?;
        times.push(seconds(first.duration_since(applied)));
        stage.cluster.delete_camera(&name).await?;
    }
    Ok(percentiles("apply to first detection, warm pod", &times, &[(0.5, 3.0), (0.99, 6.0)]))
}
