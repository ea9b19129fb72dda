//! Pods, containers and nodes that are lost without a word.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::DeleteParams};
use tokio::time::sleep;

use super::{Bound, Stage, TWO_INTERVALS, percentiles};
use crate::{cluster::ScenarioError, objects::node_of, report::Row};

const CAMERAS: usize = 16;

/// How long a node that is back is looked at.
const AFTERWARDS: Duration = Duration::from_secs(30);

type Bindings = BTreeMap<String, Bound>;

/// Those on one of `pods`, and the others.
fn split(bindings: Bindings, pods: &[String]) -> (Bindings, Bindings) {
    bindings.into_iter().partition(|(_, bound)| pods.contains(&bound.pod))
}

/// How long the lost ones took, and what the others felt of it.
async fn measure(
    stage: &Stage<'_>,
    (lost, others): (Bindings, Bindings),
    since: Timestamp,
) -> Result<Vec<Row>, ScenarioError> {
    let rebound = stage.rebound(&lost, since).await?;
    let detected = stage.detected(&lost, since).await?;
    let mut rows = percentiles("bound elsewhere", &rebound, &[(0.99, 5.0)]);
    rows.extend(percentiles("first detection elsewhere", &detected, &[(1.0, 10.0)]));
    rows.push(stage.gap_of_others(others.keys(), since).await);
    rows.push(stage.duplicates());
    Ok(rows)
}

pub(super) async fn pod(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let bindings = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let Some(victim) = bindings.values().next().map(|bound| bound.pod.clone()) else { return Ok(Vec::new()) };
    let since = Timestamp::now();
    let parameters = DeleteParams::default().grace_period(0);
    stage.cluster.delete_pod(&victim, &parameters).await?;
    measure(stage, split(bindings, &[victim]), since).await
}

/// With the node that the leading operator runs on, or with another one: another replica leads only after a while.
pub(super) async fn node(stage: &Stage<'_>, with_leader: bool) -> Result<Vec<Row>, ScenarioError> {
    stage.faults.check()?;
    let bindings = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let pods = stage.cluster.pods().await?;
    let node_of_pod = |name: &str| pods.iter().find(|pod| pod.name_any() == name).and_then(node_of);
    let leader = stage.leader().await?;
    let leader = leader.as_ref().and_then(node_of);
    let mut nodes = bindings.values().filter_map(|bound| node_of_pod(&bound.pod));
    let Some(victim) = nodes.find(|node| (leader == Some(*node)) == with_leader).map(ToOwned::to_owned) else {
        let which =
            if with_leader { "the leading operator runs beside no pod" } else { "every pod runs beside the leader" };
        return Err(ScenarioError::Unsuitable(which.to_owned()));
    };
    let on_it: Vec<String> =
        pods.iter().filter(|pod| node_of(pod) == Some(&victim)).map(kube::ResourceExt::name_any).collect();
    let (lost, others) = split(bindings, &on_it);
    let all: Vec<String> = lost.keys().chain(others.keys()).cloned().collect();
    if others.is_empty() {
        return Err(ScenarioError::Unsuitable("all pods run on one node".to_owned()));
    }
    let since = Timestamp::now();
    stage.faults.make(&["cut", &victim]).await?;
    let measured = measure(stage, (lost, others), since).await;
    let back = Timestamp::now();
    stage.faults.make(&["mend", &victim]).await?;
    let mut rows = measured?;
    sleep(AFTERWARDS).await;
    let gap = stage.longest_gap(all.iter(), back).await;
    rows.push(Row::at_most("longest gap of any camera once the node is back", TWO_INTERVALS, gap, "s"));
    Ok(rows)
}

pub(super) async fn container(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    stage.faults.check()?;
    let before = stage.fleet(8, 2, CAMERAS).await?;
    let pods = stage.cluster.pods().await?;
    let Some((victim, node)) = pods.iter().find_map(|pod| Some((pod.name_any(), node_of(pod)?.to_owned()))) else {
        return Ok(Vec::new());
    };
    let since = Timestamp::now();
    stage.faults.make(&["kill-container", &node, &victim]).await?;
    stage
        .cluster
        .wait("the container runs again", Duration::from_mins(1), async || {
            let pod = stage.cluster.api::<Pod>().get(&victim).await?;
            let restarts = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            Ok(restarts.iter().any(|container| container.restart_count > 0 && container.ready).then_some(()))
        })
        .await?;
    let back = super::seconds(Timestamp::now().duration_since(since));
    sleep(Duration::from_secs(10)).await;
    let after = stage.bindings().await?;
    let moved = before.iter().filter(|(name, bound)| after.get(*name).is_none_or(|now| now.pod != bound.pod)).count();
    let others = split(before, &[victim]).1;
    Ok(vec![
        Row::at_most("container ready again", 60.0, back, "s"),
        Row::exactly(format!("cameras that moved, with the container back after {back:.1} s"), 0, moved),
        stage.gap_of_others(others.keys(), since).await,
        stage.duplicates(),
    ])
}
