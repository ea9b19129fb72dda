//! More cameras than there is room for, and a camera that is dead wherever it is watched from.

use std::{collections::BTreeSet, time::Duration};

use camera_simulator::Fault;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{Stage, seconds};
use crate::{
    cluster::ScenarioError,
    objects::{Camera, Model, epoch_of, pod_of},
    report::Row,
};

const LIMIT: Duration = Duration::from_mins(2);

/// How long a dead camera is looked at.
const DEAD: Duration = Duration::from_mins(2);

/// The simulator's number of the camera that dies.
const VICTIM: usize = 1;

/// One pod has room for two cameras; five want to be watched, one of them more than the others.
pub(super) async fn pending(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    stage.fleet(2, 1, 2).await?;
    let applied = Timestamp::now();
    for (name, number, priority) in [("camera-3", 3, 0), ("urgent", 4, 10), ("camera-5", 5, 0)] {
        stage.cluster.apply_camera(name, &Camera { priority, ..stage.camera(number)? }).await?;
    }
    let message = stage
        .cluster
        .wait("all that wait are told why", LIMIT, async || {
            let waiting: Vec<String> = stage
                .cluster
                .cameras()
                .await?
                .into_iter()
                .filter(|camera| pod_of(camera).is_none())
                .filter_map(|camera| camera.status)
                .flat_map(|status| status.conditions)
                .filter(|condition| condition.type_ == "Assigned" && condition.reason == "InsufficientCapacity")
                .map(|condition| condition.message)
                .collect();
            Ok((waiting.len() == 3).then(|| waiting.into_iter().next().unwrap_or_default()))
        })
        .await?;
    let told = seconds(Timestamp::now().duration_since(applied));

    let deleted = Timestamp::now();
    stage.cluster.delete_camera("camera-1").await?;
    let placed = stage
        .cluster
        .wait("somebody takes the place", LIMIT, async || {
            let bindings = stage.bindings().await?;
            Ok(["camera-3", "urgent", "camera-5"].into_iter().find(|name| bindings.contains_key(*name)))
        })
        .await?;
    let took = seconds(Timestamp::now().duration_since(deleted));

    stage.cluster.serve(&Model::of(2, 2)).await?;
    let ready = Timestamp::now();
    stage
        .cluster
        .wait("everybody is bound", LIMIT, async || Ok((stage.bindings().await?.len() == 4).then_some(())))
        .await?;
    let room = seconds(Timestamp::now().duration_since(ready));
    Ok(vec![
        Row::at_most(format!("told why they wait: {message}"), 5.0, told, "s"),
        Row::at_most("a place taken after it became free", 5.0, took, "s"),
        Row::exactly("of those with less priority before the one with more", 0, usize::from(placed != "urgent")),
        Row::at_most("all bound after a second pod became ready", 5.0, room, "s"),
    ])
}

/// A camera dies for good.
pub(super) async fn dead_camera(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let site = stage.cameras.site()?;
    let before = stage.fleet(8, 3, 8).await?;
    let since = Timestamp::now();
    site.misbehave(VICTIM, Fault::Die)?;
    let (mut pods, mut epochs) = (BTreeSet::new(), BTreeSet::new());
    let mut reason = String::new();
    let deadline = Instant::now() + DEAD;
    while Instant::now() < deadline {
        for camera in stage.cluster.cameras().await? {
            if camera.metadata.name.as_deref() == Some("camera-1") {
                pods.extend(pod_of(&camera).map(ToOwned::to_owned));
                epochs.insert(epoch_of(&camera));
                let status = camera.status.unwrap_or_default();
                pods.extend(status.handover.map(|handover| handover.pod));
                reason = status.reason.unwrap_or_default();
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    site.heal(VICTIM)?;
    let healed = Timestamp::now();
    let back = stage
        .cluster
        .wait("the camera is back", LIMIT, async || {
            Ok(stage.published.look(|ledger| {
                let last = ledger.last("camera-1")?.captured;
                (last > healed).then(|| seconds(last.duration_since(healed)))
            }))
        })
        .await?;
    let others = before.keys().filter(|name| *name != "camera-1");
    Ok(vec![
        Row::at_most(format!("pods that it was tried from ({reason})"), 2.0, pods.len() as f64, ""),
        Row::at_most("bindings and attempts at one", 2.0, epochs.len() as f64, ""),
        Row::at_most("first frame after it is mended", 10.0, back, "s"),
        stage.gap_of_others(others, since).await,
        stage.duplicates(),
    ])
}
