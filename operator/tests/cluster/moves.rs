//! Streams that move while everything works.

use std::{collections::BTreeSet, time::Duration};

use crds::{VideoSource, VideoSourceStatus};
use fake_fleet::Behaviour;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{EvictParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::json;

use crate::scene::{Scene, condition, eventually};

/// What the API server tells of a scene's sources.
pub(crate) struct Watch {
    sources: Api<VideoSource>,
    since: String,
}

impl Watch {
    /// From now on.
    pub(crate) async fn of(scene: &Scene) -> Self {
        let list = scene.sources().list(&ListParams::default()).await.unwrap();
        Self { sources: scene.sources(), since: list.metadata.resource_version.unwrap() }
    }

    /// Every status that was written until now, by source.
    pub(crate) async fn statuses(&self) -> Vec<(String, VideoSourceStatus)> {
        let now = self.sources.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        if now == self.since {
            return Vec::new();
        }
        let params = WatchParams::default().timeout(2);
        let watch = self.sources.watch(&params, &self.since).await.unwrap();
        let mut watch = std::pin::pin!(watch);
        let mut statuses = Vec::new();
        // The API server ends it after two seconds; what was written before comes at once.
        while let Some(Ok(event)) = watch.next().await {
            if let WatchEvent::Added(source) | WatchEvent::Modified(source) = event {
                statuses.push((source.metadata.name.clone().unwrap(), source.status.unwrap_or_default()));
            }
        }
        statuses
    }

    /// Every stream was handed over or left where it was.
    pub(crate) async fn saw_no_source_without_a_pod(&self) {
        for (name, status) in self.statuses().await {
            assert!(status.assignment.is_some(), "{name} was without a pod");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evacuated_pod_hands_its_streams_over_make_before_break() {
    let Some(scene) = Scene::set("evacuated").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    let pod = before[0].1.clone().unwrap();
    let sources = scene.sources();
    let list = sources.list(&ListParams::default()).await.unwrap();
    let params = WatchParams::default().timeout(280);
    let watch = sources.watch(&params, &list.metadata.resource_version.unwrap()).await.unwrap();
    scene.patch_pod(&pod, json!({ "metadata": { "annotations": { "vision-operator.dev/evacuate": "" } } })).await;
    let leaves: BTreeSet<String> =
        before.iter().filter(|(_, bound)| bound.as_ref() == Some(&pod)).map(|(name, _)| name.clone()).collect();
    let mut remaining = leaves.clone();
    let mut warmed = BTreeSet::new();
    let mut watch = std::pin::pin!(watch);
    let moved = tokio::time::timeout(Duration::from_mins(1), async {
        while !remaining.is_empty() {
            let WatchEvent::Modified(source) = watch.next().await.unwrap().unwrap() else { continue };
            let name = source.metadata.name.clone().unwrap();
            let status = source.status.unwrap();
            let bound = status.assignment.expect("a stream that is handed over is never without a pod");
            if let Some(handover) = &status.handover {
                assert_ne!(handover.pod, pod);
                assert!(handover.epoch > bound.epoch);
                warmed.insert(name.clone());
            }
            if bound.pod != pod {
                assert!(warmed.contains(&name), "{name} was handed over");
                remaining.remove(&name);
            }
        }
    });
    moved.await.expect("all moved in a minute");
    assert_eq!(warmed, leaves);
    // Those of the other pod stayed; the evacuated one is replaced and goes.
    for (name, bound) in scene.bindings().await {
        if !leaves.contains(&name) {
            assert!(before.contains(&(name, bound)));
        }
    }
    eventually("the evacuated pod is gone", async || scene.pods().get_opt(&pod).await.unwrap().is_none().then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_waits_until_the_streams_have_moved() {
    let Some(scene) = Scene::set("drained").await else { return };
    let _tell = scene.tell();
    scene.add_two_pods().await;
    scene.add_source("gate", json!({})).await;
    let pod = scene.all_stream().await[0].1.clone().unwrap();
    let evict = async || scene.pods().evict(&pod, &EvictParams::default()).await;
    let error = eventually("the gate stands", async || evict().await.err()).await;
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 429), "{error}");
    assert_eq!(scene.status("gate").await.assignment.map(|bound| bound.pod), Some(pod.clone()));
    scene.patch_pod(&pod, json!({ "metadata": { "annotations": { "vision-operator.dev/evacuate": "" } } })).await;
    eventually("the stream has moved", async || (scene.status("gate").await.assignment?.pod != pod).then_some(()))
        .await;
    eventually("the pod may be evicted, or has been replaced", async || match evict().await {
        Ok(_) => Some(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Some(()),
        Err(_) => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_node_is_left_and_another_is_used() {
    let Some(scene) = Scene::set("cordoned").await else { return };
    let _tell = scene.tell();
    // Nodes of this test alone.
    let nodes: Api<Node> = Api::all(scene.client.clone());
    for name in ["cordoned-1", "cordoned-2"] {
        let room = json!({ "cpu": "100", "memory": "1Ti", "pods": "100" });
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "of": "cordoned" } },
            "status": { "allocatable": room, "capacity": room },
        });
        nodes.patch(name, &PatchParams::apply("test"), &Patch::Apply(node)).await.unwrap();
    }
    scene.add_model("people", 8, 2).await;
    let selector = json!({ "spec": { "serving": { "nodeSelector": { "of": "cordoned" } } } });
    scene.models().patch("people", &PatchParams::default(), &Patch::Merge(selector)).await.unwrap();
    scene.add_source("gate", json!({})).await;
    let assignment = eventually("it runs on one of the two", async || {
        let assignment = scene.status("gate").await.assignment?;
        assignment.node.as_ref()?.starts_with("cordoned-").then_some(assignment)
    })
    .await;
    let node = assignment.node.unwrap();
    let cordon = json!({ "spec": { "unschedulable": true } });
    nodes.patch(&node, &PatchParams::default(), &Patch::Merge(cordon)).await.unwrap();
    let now = eventually("it has moved to the other node", async || {
        let assignment = scene.status("gate").await.assignment?;
        let elsewhere = assignment.node.as_ref().is_some_and(|now| *now != node);
        elsewhere.then_some(assignment)
    })
    .await;
    assert!(now.epoch > assignment.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_camera_stays_where_it_is() {
    let Some(scene) = Scene::set("edited").await else { return };
    let _tell = scene.tell();
    scene.add_two_pods().await;
    scene.add_source("gate", json!({})).await;
    scene.all_stream().await;
    let before = scene.status("gate").await.assignment;
    let edits = [json!({ "uri": "rtsp://camera.example/2" }), json!({ "detection": { "fps": 2 } })];
    for edit in edits {
        let patch = Patch::Merge(json!({ "spec": edit }));
        let generation =
            scene.sources().patch("gate", &PatchParams::default(), &patch).await.unwrap().metadata.generation;
        eventually("the edit is observed", async || {
            let status = scene.status("gate").await;
            let observed = status.conditions.iter().all(|condition| condition.observed_generation == generation);
            (observed && status.assignment == before && condition(&status, "Ready").0 == "True").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_names_another_model_is_handed_over_to_it() {
    let Some(scene) = Scene::set("another-model").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    scene.add_model("cars", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    scene.all_stream().await;
    let watch = Watch::of(&scene).await;
    let patch = Patch::Merge(json!({ "spec": { "modelRef": { "name": "cars" } } }));
    scene.sources().patch("gate", &PatchParams::default(), &patch).await.unwrap();
    eventually("a pod of the other model has it", async || {
        scene.status("gate").await.assignment.filter(|assignment| assignment.pod.starts_with("cars-"))
    })
    .await;
    scene.all_stream().await;
    watch.saw_no_source_without_a_pod().await;
    let statuses = watch.statuses().await;
    assert!(statuses.iter().any(|(_, status)| status.handover.is_some()), "it was handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_replaces_pods_by_surge() {
    let Some(scene) = Scene::set("surge").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    let watch = Watch::of(&scene).await;
    let patch = Patch::Merge(json!({ "spec": { "serving": { "podTemplate": { "labels": { "team": "yard" } } } } }));
    scene.models().patch("people", &PatchParams::default(), &patch).await.unwrap();
    let mut most = 0;
    eventually("every pod is made anew", async || {
        let pods = scene.pods().list(&ListParams::default()).await.unwrap().items;
        let active = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        most = most.max(active.count());
        let labelled = |pod: &k8s_openapi::api::core::v1::Pod| {
            pod.metadata.labels.as_ref().is_some_and(|labels| labels.get("team").is_some_and(|team| team == "yard"))
        };
        (pods.len() == 2 && pods.iter().all(labelled)).then_some(())
    })
    .await;
    assert!(most <= 3, "one pod more than there are to be, not {most}");
    let after = scene.all_stream().await;
    assert!(before.iter().zip(&after).all(|(before, after)| before.1 != after.1));
    watch.saw_no_source_without_a_pod().await;
    let model = scene.models().get("people").await.unwrap().status.unwrap();
    assert_eq!((model.updated_pods, model.pods), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_load_leaves_streams_where_they_are() {
    let Some(scene) = Scene::set("revision").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    scene.fleet.behave_usually(Behaviour::KeepsTheOld);
    let patch = Patch::Merge(json!({ "spec": { "thresholds": { "confidence": 0.9 } } }));
    scene.models().patch("people", &PatchParams::default(), &patch).await.unwrap();
    let status = eventually("the model tells why", async || {
        let status = scene.models().get("people").await.unwrap().status?;
        let updated = status.conditions.iter().find(|condition| condition.type_ == "Updated")?;
        (updated.status == "False" && updated.reason == "SelfTestFailed").then(|| status.clone())
    })
    .await;
    assert!(status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.all_stream().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_comes_and_goes_costs_one_write() {
    let Some(scene) = Scene::set("flapping").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    scene.all_stream().await;
    scene.fleet.behave_usually(Behaviour::Flaps);
    eventually("the failure is told", async || {
        (condition(&scene.status("gate").await, "Ready").1 == "ConnectionLost").then_some(())
    })
    .await;
    let watch = Watch::of(&scene).await;
    // Six times back and gone again.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(watch.statuses().await.len(), 0, "nothing is written while it flaps");
    scene.fleet.behave_usually(Behaviour::Serves);
    scene.all_stream().await;
    assert_eq!(watch.statuses().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_fails_everywhere_is_tried_from_one_other_pod_and_then_stays() {
    let Some(scene) = Scene::set("failing-camera").await else { return };
    let _tell = scene.tell();
    scene.add_two_pods().await;
    scene.fleet.behave_usually(Behaviour::SeesNothing);
    let watch = Watch::of(&scene).await;
    scene.add_source("gate", json!({})).await;
    let bound = eventually("it is bound", async || scene.status("gate").await.assignment).await;
    eventually("it is tried from the other pod", async || scene.status("gate").await.handover).await;
    eventually("the other pod does no better", async || scene.status("gate").await.handover.is_none().then_some(()))
        .await;
    // Longer than a camera has to fail before it is tried from elsewhere.
    tokio::time::sleep(Duration::from_secs(35)).await;
    let status = scene.status("gate").await;
    assert_eq!(status.assignment, Some(bound));
    assert_eq!(condition(&status, "Ready").1, "HostUnreachable");
    let handovers: BTreeSet<i64> =
        watch.statuses().await.into_iter().filter_map(|(_, status)| Some(status.handover?.epoch)).collect();
    assert_eq!(handovers.len(), 1, "{handovers:?}");
}
