//! A fleet at rest: nothing moves and nothing is written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{ResourceExt as _, api::ListParams};
use tokio::time::sleep;

use super::{Stage, TWO_INTERVALS};
use crate::{cluster::ScenarioError, report::Row};

/// What kubelets tell of a container's CPU time, in seconds.
const CPU: &str = "container_cpu_usage_seconds_total{";

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(8, 2, 8).await?;
    let versions = versions(stage).await?;
    let cpu = operator_cpu(stage).await?;
    let began = Timestamp::now();
    sleep(stage.duration).await;
    let elapsed = super::seconds(Timestamp::now().duration_since(began));
    let used = operator_cpu(stage).await? - cpu;
    let after = stage.bindings().await?;
    let moved = before.iter().filter(|(name, bound)| after.get(*name) != Some(bound)).count();
    let written = versions_changed(&versions, &self::versions(stage).await?);
    let minutes = elapsed / 60.0;
    Ok(vec![
        Row::exactly(format!("cameras that moved in {minutes:.1} min"), 0, moved),
        Row::exactly(format!("objects whose status was written in {minutes:.1} min"), 0, written),
        Row::at_most("operator's CPU, both replicas", 1.0, 100.0 * used / elapsed, "% of a core"),
        Row::at_most("longest gap", TWO_INTERVALS, stage.longest_gap(before.keys(), began).await, "s"),
        stage.duplicates(),
    ])
}

/// The resource versions of cameras and models.
async fn versions(stage: &Stage<'_>) -> Result<BTreeMap<String, Option<String>>, ScenarioError> {
    let cameras = stage.cluster.cameras().await?;
    let models = stage.cluster.api::<crds::DetectionModel>().list(&ListParams::default()).await?;
    let cameras = cameras.iter().map(|camera| (format!("camera {}", camera.name_any()), camera.resource_version()));
    let models = models.items.iter().map(|model| (format!("model {}", model.name_any()), model.resource_version()));
    Ok(cameras.chain(models).collect())
}

fn versions_changed(before: &BTreeMap<String, Option<String>>, after: &BTreeMap<String, Option<String>>) -> usize {
    after.iter().filter(|(name, version)| before.get(*name) != Some(version)).count()
}

/// The CPU time of all containers of the operator so far, in seconds, as the kubelets have counted it.
async fn operator_cpu(stage: &Stage<'_>) -> Result<f64, ScenarioError> {
    let namespace = format!("namespace=\"{}\"", stage.operator_namespace);
    let mut used = 0.0;
    for node in stage.cluster.nodes().await? {
        let path = format!("/api/v1/nodes/{}/proxy/metrics/resource", node.name_any());
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| ScenarioError::Unsuitable(error.to_string()))?;
        let text = stage.cluster.client().request_text(request).await?;
        used += text
            .lines()
            .filter(|line| line.starts_with(CPU) && line.contains(&namespace))
            .filter_map(|line| line.split_once("} ")?.1.split(' ').next()?.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(used)
}
