//! What users change while streams run: cameras, models, the number of pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::DetectionModel;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Condition};
use kube::api::{Patch, PatchParams};
use operator::pods::EVACUATE_ANNOTATION;
use serde_json::json;

use super::{Bound, Stage, TWO_INTERVALS, seconds};
use crate::{
    cluster::ScenarioError,
    objects::{Camera, FPS, MODEL, Model, model_of},
    report::Row,
};

const CAMERAS: usize = 8;

/// How long any change may take.
const LIMIT: Duration = Duration::from_mins(3);

/// A second model.
const OTHER: &str = "guards";

/// Frames per second after the edit of a camera.
const SLOW: u32 = 2;

type Bindings = BTreeMap<String, Bound>;

impl Stage<'_> {
    /// What every change leaves as it is.
    async fn undisturbed(&self, before: &Bindings, since: Timestamp) -> Vec<Row> {
        let gap = self.longest_gap(before.keys(), since).await;
        vec![Row::at_most("longest gap of any camera", TWO_INTERVALS, gap, "s"), self.duplicates()]
    }

    /// The names of the pods of a model.
    pub(super) async fn pods_of(&self, model: &str) -> Result<BTreeSet<String>, ScenarioError> {
        let pods = self.cluster.pods().await?;
        Ok(pods.iter().filter(|pod| model_of(pod) == Some(model)).map(kube::ResourceExt::name_any).collect())
    }

    async fn condition(&self, kind: &str) -> Result<Option<Condition>, ScenarioError> {
        let status = self.cluster.api::<DetectionModel>().get(MODEL).await?.status.unwrap_or_default();
        Ok(status.conditions.into_iter().find(|condition| condition.type_ == kind))
    }
}

/// How many cameras have another pod than before.
fn elsewhere(before: &Bindings, after: &Bindings) -> usize {
    before.iter().filter(|(name, bound)| after.get(*name).is_none_or(|now| now.pod != bound.pod)).count()
}

/// A camera gets another rate, another address and another model.
pub(super) async fn camera(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    stage.cluster.serve(&Model { name: OTHER, ..Model::of(1, CAMERAS) }).await?;
    let before = stage.fleet(4, 2, CAMERAS).await?;
    let (name, others) = ("camera-1".to_owned(), ["camera-2", "camera-3", "camera-4"].map(ToOwned::to_owned));
    let began = Timestamp::now();
    let kept = || stage.published.look(|ledger| ledger.kept(&name));

    let slower = Camera { fps: SLOW, ..stage.camera(1)? };
    stage.cluster.apply_camera(&name, &slower).await?;
    stage
        .cluster
        .wait("the camera is looked at less often", LIMIT, async || {
            // Four frames of the slow rate take longer than twice as many of the fast one.
            let spans = kept().last_chunk::<4>().map(|last| seconds(last[3].captured.duration_since(last[0].captured)));
            Ok(spans.filter(|span| *span > 6.0 / f64::from(FPS)))
        })
        .await?;
    let rate = seconds(Timestamp::now().duration_since(began));

    let sessions: BTreeSet<i64> = kept().iter().map(|frame| frame.session).collect();
    let moved_to = Camera { uri: stage.cameras.uri(20)?, ..stage.camera(1)? };
    let edited = Timestamp::now();
    stage.cluster.apply_camera(&name, &moved_to).await?;
    let address = stage
        .cluster
        .wait("frames come from the new address", LIMIT, async || {
            let first = kept().into_iter().find(|frame| !sessions.contains(&frame.session));
            Ok(first.map(|frame| seconds(frame.published.duration_since(edited))))
        })
        .await?;
    let in_place = usize::from(stage.bindings().await?.get(&name) != before.get(&name));

    let edited = Timestamp::now();
    stage.cluster.apply_camera(&name, &Camera { model: OTHER, ..moved_to }).await?;
    let pods = stage.pods_of(OTHER).await?;
    stage
        .cluster
        .wait("the camera is watched by the other model", LIMIT, async || {
            let bindings = stage.bindings().await?;
            Ok(bindings.get(&name).is_some_and(|bound| pods.contains(&bound.pod)).then_some(()))
        })
        .await?;
    let model = seconds(Timestamp::now().duration_since(edited));
    Ok(vec![
        Row::at_most("another rate", 10.0, rate, "s"),
        Row::at_most("first frame of another address", 10.0, address, "s"),
        Row::exactly("moves for either", 0, in_place),
        Row::at_most("another model", 15.0, model, "s"),
        Row::at_most("longest gap at that", TWO_INTERVALS, stage.longest_gap([&name].into_iter(), edited).await, "s"),
        stage.gap_of_others(others.iter(), began).await,
        stage.duplicates(),
    ])
}

/// A model gets another threshold, which its pods take as they run.
pub(super) async fn model(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let pods = stage.pods_of(MODEL).await?;
    let since = Timestamp::now();
    stage.cluster.apply_model(&Model { confidence: Some(1.0), ..Model::of(2, CAMERAS) }).await?;
    stage
        .cluster
        .wait("nothing is certain enough any more", LIMIT, async || {
            Ok(stage.published.look(|ledger| {
                let blind = |name: &String| {
                    ledger
                        .kept(name)
                        .last_chunk::<3>()
                        .is_some_and(|last| last.iter().all(|frame| frame.captured > since && frame.objects.is_empty()))
                };
                before.keys().all(blind).then_some(())
            }))
        })
        .await?;
    let took = seconds(Timestamp::now().duration_since(since));
    let mut rows = vec![
        Row::at_most("every frame by the new threshold", 15.0, took, "s"),
        Row::exactly("cameras that moved", 0, elsewhere(&before, &stage.bindings().await?)),
        Row::exactly("pods that were replaced", 0, pods.difference(&stage.pods_of(MODEL).await?).count()),
    ];
    rows.extend(stage.undisturbed(&before, since).await);
    Ok(rows)
}

/// The pods get another template, and then one that cannot be started.
pub(super) async fn rollout(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let old = stage.pods_of(MODEL).await?;
    let since = Timestamp::now();
    let second = Model { revision: 2, ..Model::of(2, CAMERAS) };
    stage.cluster.apply_model(&second).await?;
    stage
        .cluster
        .wait("every pod is a new one", LIMIT, async || {
            let now = stage.pods_of(MODEL).await?;
            Ok((now.len() == 2 && now.is_disjoint(&old)).then_some(()))
        })
        .await?;
    let took = seconds(Timestamp::now().duration_since(since));
    let renewed = stage.settle().await?;
    let mut rows = vec![
        Row::at_most("both pods replaced", 120.0, took, "s"),
        Row::exactly("cameras that are bound", CAMERAS, renewed.len()),
    ];
    rows.extend(stage.undisturbed(&before, since).await);

    let since = Timestamp::now();
    let broken = Model { revision: 3, image: Some("vision-operator/no-such-image:0.0.0"), ..Model::of(2, CAMERAS) };
    stage.cluster.apply_model(&broken).await?;
    let reason = stage
        .cluster
        .wait("the model tells that a pod does not start", LIMIT, async || {
            let told = stage.condition("PodsHealthy").await?.filter(|condition| condition.status == "False");
            // Pods that start are not healthy yet either, and say so.
            Ok(told.filter(|condition| condition.reason.contains("Image")).map(|condition| condition.reason))
        })
        .await?;
    let told = seconds(Timestamp::now().duration_since(since));
    let after = stage.settle().await?;
    rows.push(Row::at_most(format!("{reason} of an image that is not there is told"), 60.0, told, "s"));
    rows.push(Row::exactly("cameras that moved for it", 0, elsewhere(&renewed, &after)));
    rows.extend(stage.undisturbed(&before, since).await);
    let since = Timestamp::now();
    stage.cluster.apply_model(&second).await?;
    stage
        .cluster
        .wait("every pod is as before", LIMIT, async || {
            let is_updated = stage.condition("Updated").await?.is_some_and(|condition| condition.status == "True");
            Ok((is_updated && stage.pods_of(MODEL).await?.len() == 2).then_some(()))
        })
        .await?;
    rows.push(Row::at_most("taken back", 60.0, seconds(Timestamp::now().duration_since(since)), "s"));
    Ok(rows)
}

/// There shall be a pod less.
pub(super) async fn scale_down(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 3, CAMERAS).await?;
    let since = Timestamp::now();
    stage.cluster.apply_model(&Model::of(2, CAMERAS)).await?;
    stage
        .cluster
        .wait("there are two pods", LIMIT, async || Ok((stage.pods_of(MODEL).await?.len() == 2).then_some(())))
        .await?;
    let took = seconds(Timestamp::now().duration_since(since));
    let after = stage.settle().await?;
    let most = before.values().fold(BTreeMap::<&str, usize>::new(), |mut loads, bound| {
        *loads.entry(&*bound.pod).or_default() += 1;
        loads
    });
    let least = most.values().min().copied().unwrap_or_default();
    let mut rows = vec![
        Row::at_most("one pod less", 120.0, took, "s"),
        Row::exactly("cameras that moved: those of the emptiest pod", least, elsewhere(&before, &after)),
    ];
    rows.extend(stage.undisturbed(&before, since).await);
    Ok(rows)
}

/// Somebody asks for the streams of a pod to leave it.
pub(super) async fn evacuate(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let before = stage.fleet(CAMERAS, 2, CAMERAS).await?;
    let Some(victim) = before.values().next().map(|bound| bound.pod.clone()) else { return Ok(Vec::new()) };
    let since = Timestamp::now();
    stage.annotate_evacuate(&victim).await?;
    let leaving: Bindings = before.clone().into_iter().filter(|(_, bound)| bound.pod == victim).collect();
    let rebound = stage.rebound(&leaving, since).await?;
    stage
        .cluster
        .wait("the pod is replaced", LIMIT, async || {
            let pods = stage.pods_of(MODEL).await?;
            Ok((pods.len() == 2 && !pods.contains(&victim)).then_some(()))
        })
        .await?;
    let took = seconds(Timestamp::now().duration_since(since));
    let mut rows = super::percentiles("bound elsewhere", &rebound, &[(1.0, 15.0)]);
    rows.push(Row::at_most("the pod replaced", 60.0, took, "s"));
    rows.extend(stage.undisturbed(&before, since).await);
    Ok(rows)
}

impl Stage<'_> {
    /// Asks for the streams of a pod to leave it.
    pub(super) async fn annotate_evacuate(&self, pod: &str) -> Result<(), ScenarioError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {EVACUATE_ANNOTATION: "true"}}}));
        self.cluster.api::<Pod>().patch(pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}
