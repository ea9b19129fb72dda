//! Too little room, and more of it.

use std::{process::Output, time::Duration};

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::scene::{Scene, condition, eventually, eventually_within};

impl Scene {
    /// A merge patch of what a model is served with.
    async fn serve(&self, model: &str, serving: Value) {
        let patch = Patch::Merge(json!({ "spec": { "serving": serving } }));
        self.models().patch(model, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn message(&self, source: &str) -> String {
        let status = self.status(source).await;
        status.conditions.into_iter().find(|told| told.type_ == "Assigned").map(|told| told.message).unwrap_or_default()
    }

    fn kubectl(&self, arguments: &[&str]) {
        let run = || self.plane.kubectl(&self.stage.namespace).unwrap().args(arguments).output().unwrap();
        let Output { status, stderr, .. } = tokio::task::block_in_place(run);
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_and_room_goes_to_the_highest_priority() {
    let Some(scene) = Scene::set("full").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 1, 1).await;
    scene.serve("people", json!({ "maxPods": 1 })).await;
    scene.add_source("first", json!({})).await;
    scene.all_stream().await;
    for (name, priority) in [("low", -1), ("middle", 0), ("high", 10)] {
        scene.add_source(name, json!({ "priority": priority })).await;
    }
    let waits = async |name: &str| {
        let status = scene.status(name).await;
        (condition(&status, "Assigned") == ("False".to_owned(), "InsufficientCapacity".to_owned())).then_some(())
    };
    for name in ["low", "middle", "high"] {
        eventually(&format!("{name} is told that it waits"), async || waits(name).await).await;
    }
    let message = scene.message("high").await;
    assert!(message.starts_with("no pod has room: the emptiest lacks 1 stream; "), "{message}");
    assert!(message.contains("raise serving.maxPods, which is 1, "), "{message}");
    eventually("the model tells how many pods would do", async || {
        let status = scene.models().get("people").await.unwrap().status?;
        let told = status.conditions.into_iter().find(|told| told.type_ == "HasRoom")?;
        told.message.starts_with("3 sources wait for room: raise serving.maxPods from 1 to 4").then_some(())
    })
    .await;
    for (pods, gets) in [(2, "high"), (3, "middle"), (4, "low")] {
        scene.serve("people", json!({ "maxPods": pods })).await;
        eventually(&format!("{gets} gets the room"), async || scene.status(gets).await.assignment).await;
        let bindings = scene.bindings().await;
        assert_eq!(bindings.iter().filter(|(_, pod)| pod.is_some()).count(), pods, "{bindings:?}");
        if pods == 2 {
            let words = "raise serving.maxPods, which is 2, ";
            eventually("those that wait are told anew", async || {
                scene.message("low").await.contains(words).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_told_what_the_pod_for_it_waits_for() {
    let Some(scene) = Scene::set("unschedulable").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 0).await;
    scene.serve("people", json!({ "resources": { "requests": { "memory": "100Ti" } } })).await;
    scene.add_source("gate", json!({})).await;
    eventually("the source is told", async || {
        let status = scene.status("gate").await;
        (condition(&status, "Assigned").1 == "PodsDoNotStart").then_some(())
    })
    .await;
    let message = scene.message("gate").await;
    assert!(message.contains("Unschedulable") && message.contains("add nodes"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_scale_sets_the_number_of_pods_and_streams_leave_before_their_pod() {
    let Some(scene) = Scene::set("scaled").await else { return };
    let _tell = scene.tell();
    let before = scene.add_fleet().await;
    scene.kubectl(&["scale", "dm/people", "--replicas=3"]);
    let pods = async || scene.pods().list(&ListParams::default()).await.unwrap().items.len();
    let ready = async || scene.models().get("people").await.unwrap().status.unwrap_or_default();
    eventually("three pods serve", async || {
        let status = ready().await;
        (status.ready_pods == 3 && status.replicas == 3).then_some(())
    })
    .await;
    assert_eq!(scene.bindings().await, before, "a pod more moves nothing while rebalancing is off");
    let watch = crate::moves::Watch::of(&scene).await;
    // A stream that was bound is left where it is for a minute, where nothing presses; then all may move at once.
    scene.serve("people", json!({ "rebalance": { "maxMoves": 100 } })).await;
    scene.kubectl(&["scale", "dm/people", "--replicas=1"]);
    let patience = Duration::from_mins(3);
    eventually_within(patience, "one pod is left", async || (pods().await == 1).then_some(())).await;
    let after = scene.all_stream().await;
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(moved >= 3, "{before:?} {after:?}");
    watch.saw_no_source_without_a_pod().await;
    assert_eq!(ready().await.replicas, 1);
}
