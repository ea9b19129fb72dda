//! The operator or the API server is away.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::sleep;

use super::{Bound, Stage, TWO_INTERVALS, seconds};
use crate::{
    cluster::ScenarioError,
    objects::{OPERATOR_SELECTOR, is_ready},
    report::Row,
};

const CAMERAS: usize = 8;

/// How long all operators are away.
const NO_OPERATOR: Duration = Duration::from_mins(2);

/// How long the API server is away.
const NO_API: Duration = Duration::from_mins(1);

impl Stage<'_> {
    fn operators(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), self.operator_namespace)
    }

    async fn operator_pods(&self) -> Result<Vec<Pod>, ScenarioError> {
        Ok(self.operators().list(&ListParams::default().labels(OPERATOR_SELECTOR)).await?.items)
    }

    /// The leading operator.
    pub(super) async fn leader(&self) -> Result<Option<Pod>, ScenarioError> {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client(), self.operator_namespace);
        let holders: Vec<String> = leases
            .list(&ListParams::default())
            .await?
            .items
            .into_iter()
            .filter_map(|lease| lease.spec?.holder_identity)
            .collect();
        Ok(self.operator_pods().await?.into_iter().find(|pod| holders.contains(&pod.name_any())))
    }

    /// Kills all operators, or the one that leads, and waits until as many are ready as before.
    pub(super) async fn kill_operators(&self, all: bool) -> Result<(), ScenarioError> {
        let leader = self.leader().await?;
        let before = self.operator_pods().await?;
        for pod in
            before.iter().filter(|pod| all || leader.as_ref().is_some_and(|leader| leader.name_any() == pod.name_any()))
        {
            self.operators().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        }
        self.cluster
            .wait("the operators are back", Duration::from_mins(2), async || {
                Ok((self.operator_pods().await?.iter().filter(|pod| is_ready(pod)).count() >= before.len())
                    .then_some(()))
            })
            .await
    }

    /// Waits until a camera is bound; the seconds since `since`.
    async fn bound(&self, name: &str, since: Timestamp) -> Result<f64, ScenarioError> {
        self.cluster
            .wait(&format!("{name} is bound"), Duration::from_mins(1), async || {
                Ok(self.bindings().await?.contains_key(name).then_some(()))
            })
            .await?;
        Ok(seconds(Timestamp::now().duration_since(since)))
    }
}

/// How many cameras have another binding than before.
fn moved(
    before: &std::collections::BTreeMap<String, Bound>,
    after: &std::collections::BTreeMap<String, Bound>,
) -> usize {
    before.iter().filter(|(name, bound)| after.get(*name) != Some(bound)).count()
}

pub(super) async fn operator(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let since = Timestamp::now();
    let now = DeleteParams::default().grace_period(0);
    // Whichever leads is among them; the others take over or are started anew.
    for pod in stage.operator_pods().await? {
        stage.operators().delete(&pod.name_any(), &now).await?;
    }
    stage.add_camera("while-killed", 50).await?;
    let after_kill = stage.bound("while-killed", since).await?;

    let deployments: Api<Deployment> = Api::namespaced(stage.cluster.client(), stage.operator_namespace);
    let list = deployments.list(&ListParams::default().labels(OPERATOR_SELECTOR)).await?;
    let Some(deployment) = list.items.first() else {
        return Err(ScenarioError::Unsuitable("the operator is no Deployment".to_owned()));
    };
    let scale = async |replicas: i32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch(&deployment.name_any(), &PatchParams::default(), &patch).await
    };
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    scale(0).await?;
    sleep(NO_OPERATOR).await;
    stage.add_camera("while-away", 51).await?;
    scale(replicas).await?;
    stage
        .cluster
        .wait("an operator is back", Duration::from_mins(1), async || {
            Ok(stage.operator_pods().await?.iter().any(is_ready).then_some(()))
        })
        .await?;
    let back = Timestamp::now();
    let after_absence = stage.bound("while-away", back).await?;
    sleep(Duration::from_secs(5)).await;
    let after = stage.bindings().await?;
    Ok(vec![
        Row::at_most("every operator killed to a new camera bound", 30.0, after_kill, "s"),
        Row::at_most("operator back after 2 min to a new camera bound", 5.0, after_absence, "s"),
        Row::exactly("cameras that moved", 0, moved(&before, &after)),
        Row::at_most("longest gap", TWO_INTERVALS, stage.longest_gap(before.keys(), since).await, "s"),
        stage.duplicates(),
    ])
}

pub(super) async fn api_server(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    stage.faults.check()?;
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let restarts = async || -> Result<i32, ScenarioError> {
        let mut pods = stage.cluster.pods().await?;
        pods.extend(stage.operator_pods().await?);
        let containers = pods.into_iter().filter_map(|pod| pod.status?.container_statuses).flatten();
        Ok(containers.map(|container| container.restart_count).sum())
    };
    let restarts_before = restarts().await?;
    let since = Timestamp::now();
    stage.faults.make(&["stop-api"]).await?;
    sleep(NO_API).await;
    stage.faults.make(&["start-api"]).await?;
    stage
        .cluster
        .wait("the API server answers", Duration::from_mins(1), async || {
            Ok(stage.cluster.cameras().await.is_ok().then_some(()))
        })
        .await?;
    let back = Timestamp::now();
    stage.add_camera("afterwards", 52).await?;
    let caught_up = stage.bound("afterwards", back).await?;
    sleep(Duration::from_secs(5)).await;
    let after = stage.bindings().await?;
    Ok(vec![
        Row::at_most("API server back to a new camera bound", 5.0, caught_up, "s"),
        Row::exactly("cameras that moved", 0, moved(&before, &after)),
        Row::exactly("containers that were restarted", 0, (restarts().await? - restarts_before).max(0) as usize),
        Row::at_most("longest gap", TWO_INTERVALS, stage.longest_gap(before.keys(), since).await, "s"),
        stage.duplicates(),
    ])
}
