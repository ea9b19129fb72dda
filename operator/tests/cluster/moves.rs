//! Streams that move while everything works.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{EvictParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::json;

use crate::scene::{Scene, eventually};

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
