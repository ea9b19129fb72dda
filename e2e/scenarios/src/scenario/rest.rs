//! A fleet at rest: nothing moves and nothing is written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::time::sleep;

use super::{Stage, TWO_INTERVALS};
use crate::{
    cluster::{OPERATOR_SELECTOR, ScenarioError},
    report::Row,
};

/// CPU time of the operator's process, seconds.
const CPU: &str = "process_cpu_seconds_total";

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(8, 2, 8).await?;
    let versions = versions(stage).await?;
    let cpu = operator_cpu(stage).await?;
    let began = Timestamp::now();
    sleep(stage.duration).await;
    let elapsed = super::seconds(Timestamp::now().duration_since(began));
    let used: f64 = operator_cpu(stage)
        .await?
        .into_iter()
        .map(|(pod, after)| after - cpu.get(&pod).copied().unwrap_or_default())
        .sum();
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

/// The CPU time of each of the operator's pods so far, in seconds.
async fn operator_cpu(stage: &Stage<'_>) -> Result<BTreeMap<String, f64>, ScenarioError> {
    let pods: Api<Pod> = Api::namespaced(stage.cluster.client(), stage.operator_namespace);
    let mut used = BTreeMap::new();
    for pod in pods.list(&ListParams::default().labels(OPERATOR_SELECTOR)).await?.items {
        let name = pod.name_any();
        let path = format!("/api/v1/namespaces/{}/pods/{name}:8080/proxy/metrics", stage.operator_namespace);
        let request = Vec::new();
        let text = match http::Request::get(path).body(request) {
            Ok(request) => stage.cluster.client().request_text(request).await?,
            Err(error) => return Err(ScenarioError::Unsuitable(error.to_string())),
        };
        let value = text.lines().find_map(|line| {
            let (series, value) = line.split_once(' ')?;
            series.split('{').next()?.ends_with(CPU).then(|| value.parse().ok())?
        });
        let Some(value) = value else {
            return Err(ScenarioError::Unsuitable(format!("{name} has no metric that ends in {CPU}")));
        };
        used.insert(name, value);
    }
    Ok(used)
}
