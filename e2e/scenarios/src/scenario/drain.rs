//! A node is emptied, as `kubectl drain` does it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::EvictParams};

use super::{Stage, TWO_INTERVALS, seconds};
use crate::{cluster::ScenarioError, objects::node_of, report::Row};

const CAMERAS: usize = 8;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    if stage.cluster.nodes().await?.len() < 2 {
        return Err(ScenarioError::Unsuitable("it takes two nodes".to_owned()));
    }
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let pods = stage.cluster.pods().await?;
    let Some(node) = pods.iter().find_map(node_of).map(ToOwned::to_owned) else { return Ok(Vec::new()) };
    let leaving: Vec<String> =
        pods.iter().filter(|pod| node_of(pod) == Some(&node)).map(kube::ResourceExt::name_any).collect();
    if leaving.len() == pods.len() {
        return Err(ScenarioError::Unsuitable("all pods run on one node".to_owned()));
    }
    let since = Timestamp::now();
    stage.cluster.cordon(&node, true).await?;
    let drained = stage.evict_all(&leaving).await;
    let took = seconds(Timestamp::now().duration_since(since));
    let settled = match &drained {
        Ok(()) => stage.settle().await.map(|bindings| bindings.len()),
        Err(_) => Ok(0),
    };
    stage.cluster.cordon(&node, false).await?;
    drained?;
    Ok(vec![
        Row::at_most("every pod evicted", 120.0, took, "s"),
        Row::exactly("cameras that are bound", CAMERAS, settled?),
        Row::at_most("longest gap of any camera", TWO_INTERVALS, stage.longest_gap(before.keys(), since).await, "s"),
        stage.duplicates(),
    ])
}

impl Stage<'_> {
    /// Asks for the eviction of each until it is granted and the pod is gone.
    pub(super) async fn evict_all(&self, pods: &[String]) -> Result<(), ScenarioError> {
        let api = self.cluster.api::<Pod>();
        for name in pods {
            self.cluster
                .wait(&format!("{name} is evicted"), Duration::from_mins(3), async || {
                    match api.evict(name, &EvictParams::default()).await {
                        Ok(_) => Ok(Some(())),
                        // It has ended by itself.
                        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Some(())),
                        // 429 as long as the pod has streams.
                        Err(error) => Err(error.into()),
                    }
                })
                .await?;
        }
        for name in pods {
            self.cluster
                .wait(&format!("{name} is gone"), Duration::from_mins(3), async || {
                    Ok(api.get_opt(name).await?.is_none_or(|pod| pod.name_any() != *name).then_some(()))
                })
                .await?;
        }
        Ok(())
    }
}
