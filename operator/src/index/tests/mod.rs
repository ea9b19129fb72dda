//! Objects as an API server gives them, folded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, sync::Arc};

use crds::report::PodReport;
use k8s_openapi::api::core::v1 as api;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Objects, Poll, secrets, snapshot, trouble};
use crate::{
    plan::{Camera, Key, Load, PodPhase, Retirement, Snapshot},
    pods::{Media, Settings},
};

const NOW: i64 = 1_800_000_000_000;

fn object<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn merged(mut base: Value, change: Value) -> Value {
    if let (Value::Object(base), Value::Object(change)) = (&mut base, &change) {
        for (key, value) in change {
            let entry = base.entry(key).or_insert(Value::Null);
            *entry = merged(entry.take(), value.clone());
        }
        return Value::Object(base.clone());
    }
    change
}

fn model(change: Value) -> Arc<crds::DetectionModel> {
    let base = json!({
        "apiVersion": "vision-operator.dev/v1alpha1", "kind": "DetectionModel",
        "metadata": { "name": "people", "namespace": "yard", "uid": "1" },
        "spec": { "source": { "builtin": "starter" } },
    });
    object(merged(base, change))
}

fn source(name: &str, change: Value) -> Arc<crds::VideoSource> {
    let base = json!({
        "apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource",
        "metadata": { "name": name, "namespace": "yard" },
        "spec": { "uri": "rtsp://camera/live", "modelRef": { "name": "people" } },
    });
    object(merged(base, change))
}

fn pod(change: Value) -> Arc<api::Pod> {
    let base = json!({
        "metadata": {
            "name": "people-1", "namespace": "yard",
            "annotations": { "vision-operator.dev/model": "people" },
            "labels": { "vision-operator.dev/template-hash": "abc", "vision-operator.dev/serving": "true" },
        },
        "spec": { "nodeName": "gpu-1", "containers": [] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    object(merged(base, change))
}

fn node(change: Value) -> Arc<api::Node> {
    object(merged(json!({ "metadata": { "name": "gpu-1" } }), change))
}

fn settings() -> Settings {
    Settings {
        native_image: "analytics-pod".to_owned(),
        deepstream_image: None,
        image_pull_policy: None,
        cache_size: "8Gi".to_owned(),
        media: Some(Media { claim: "clips".to_owned(), path: "/media".to_owned() }),
        gate_evictions: true,
    }
}

fn fold(objects: &Objects) -> Snapshot {
    snapshot(NOW, objects, &BTreeMap::new(), &settings())
}

fn key(name: &str) -> Key {
    Key::new("yard", name)
}

#[test]
fn one_bad_object_costs_no_other() {
    let objects = Objects {
        models: vec![
            model(json!({})),
            model(json!({
                "metadata": { "name": "bad" }, "spec": { "source": { "builtin": null, "file": "/etc/a.onnx" } },
            })),
        ],
        sources: vec![
            source("good", json!({})),
            source("file", json!({ "spec": { "uri": "file:///etc/passwd" } })),
            source("escape", json!({ "spec": { "uri": "file:///media/../etc/passwd" } })),
            source("clip", json!({ "spec": { "uri": "file:///media/clip.mp4" } })),
            source("webcam", json!({ "spec": { "uri": "v4l2:///dev/video0" } })),
            source("fallback", json!({ "spec": { "fallbackURIs": ["file:///etc/passwd"] } })),
        ],
        ..Objects::default()
    };
    let snapshot = fold(&objects);
    let refusals: BTreeMap<&str, &str> = snapshot
        .sources
        .iter()
        .filter_map(|(key, source)| Some((&*key.name, &*source.refusal.as_ref()?.message)))
        .chain(snapshot.models.iter().filter_map(|(key, model)| Some((&*key.name, &*model.refusal.as_ref()?.message))))
        .collect();
    insta::assert_yaml_snapshot!(refusals);
}

#[test]
fn a_source_takes_what_its_spec_says_and_its_pictures_show() {
    let demand = |change: Value, gpu: bool| {
        let serving = if gpu { json!({ "spec": { "serving": { "gpu": {} } } }) } else { json!({}) };
        let objects =
            Objects { models: vec![model(serving)], sources: vec![source("a", change)], ..Objects::default() };
        fold(&objects).sources[&key("a")].demand
    };
    assert_eq!(demand(json!({}), true), Load { streams: 1, inferences: 30_000, decode: 39_660 });
    assert_eq!(demand(json!({ "spec": { "detection": { "fps": 5 } } }), true).inferences, 5_000);
    assert_eq!(demand(json!({ "spec": { "detection": { "interval": "4s" } } }), true).inferences, 250);
    assert_eq!(demand(json!({ "spec": { "detection": { "interval": "24h" } } }), true).inferences, 1);
    let seen = json!({ "status": { "resolution": "3840x2160", "codec": "H265" } });
    assert_eq!(demand(seen, true).decode, 30 * (140 + 2_488));
    assert!(demand(json!({}), false).decode > demand(json!({}), true).decode);
}

#[test]
fn a_pod_is_what_kubernetes_and_its_notes_say() {
    let objects = Objects {
        pods: vec![pod(json!({ "metadata": { "annotations": {
            "vision-operator.dev/evacuate": "", "vision-operator.dev/retire": "Outdated",
        } } }))],
        ..Objects::default()
    };
    let snapshot = fold(&objects);
    let pod = &snapshot.pods[&key("people-1")];
    assert_eq!((pod.phase, pod.ready, pod.protected, pod.evacuate), (PodPhase::Running, true, true, true));
    assert_eq!(pod.retiring, Some(Retirement::Outdated));
    assert_eq!((&*pod.model, &*pod.template_hash, pod.node.as_deref()), ("people", "abc", Some("gpu-1")));
}

#[test]
fn what_counts_as_a_drain() {
    let leaves = |pod_change: Value, node_change: Value| {
        let objects = Objects { pods: vec![pod(pod_change)], nodes: vec![node(node_change)], ..Objects::default() };
        let snapshot = fold(&objects);
        snapshot.pods[&key("people-1")].tainted || snapshot.nodes["gpu-1"].draining
    };
    let taint = |key: &str, effect: &str| json!({ "spec": { "taints": [{ "key": key, "effect": effect }] } });
    let tolerant = json!({ "spec": { "tolerations": [{ "key": "nvidia.com/gpu", "operator": "Exists" }] } });
    assert!(!leaves(json!({}), json!({})));
    assert!(leaves(json!({}), json!({ "spec": { "unschedulable": true } })));
    assert!(leaves(json!({}), taint("nvidia.com/gpu", "NoSchedule")));
    assert!(!leaves(tolerant.clone(), taint("nvidia.com/gpu", "NoSchedule")), "a taint that the pod tolerates");
    assert!(leaves(tolerant, taint("example.com/repair", "NoExecute")));
    assert!(!leaves(json!({}), taint("example.com/rather-not", "PreferNoSchedule")));
    assert!(!leaves(json!({}), taint("node.kubernetes.io/memory-pressure", "NoSchedule")), "a state, not a wish");
}

#[test]
fn a_pod_that_cannot_start_says_why() {
    let reason = |status: Value| trouble(&pod(json!({ "status": status }))).map(|trouble| trouble.reason);
    let waits = |reason: &str| {
        json!({ "containerStatuses": [{
        "name": "analytics-pod", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason, "message": "…" } },
    }] })
    };
    assert_eq!(reason(json!({})), None);
    assert_eq!(reason(waits("ContainerCreating")), None);
    assert_eq!(reason(waits("ImagePullBackOff")).unwrap(), "ImagePullBackOff");
    let unscheduled = json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" },
    ] });
    assert_eq!(reason(unscheduled).unwrap(), "Unschedulable");
    assert_eq!(reason(json!({ "phase": "Failed", "reason": "Evicted" })).unwrap(), "Evicted");
}

fn report(change: Value) -> PodReport {
    let base = json!({
        "pod": "people-1", "session": 5, "model": { "phase": "Ready" },
        "capacity": { "streams": 16, "milliInferencesPerSecond": 123_456, "decodeMicrosPerSecond": 1_000_000 },
        "sources": [{
            "namespace": "yard", "name": "gate", "epoch": 7, "phase": "Active", "state": "Backoff",
            "reason": "HostUnreachable",
        }],
    });
    serde_json::from_value(merged(base, change)).unwrap()
}

#[test]
fn a_report_tells_capacity_and_cameras() {
    let mut poll = Poll::default();
    poll.answered("people-1", &report(json!({})), NOW);
    let told = poll.report.clone().unwrap();
    assert!(told.serving);
    assert_eq!(told.capacity, Some(Load { streams: 16, inferences: 120_000, decode: 1_000_000 }));
    assert_eq!(told.sources[&key("gate")].camera, Camera::Failing);
    let mut hopeless = report(json!({}));
    hopeless.sources[0].reason = Some("AuthenticationFailed".to_owned());
    poll.answered("people-1", &hopeless, NOW);
    assert_eq!(poll.report.unwrap().sources[&key("gate")].camera, Camera::Hopeless);
}

#[test]
fn silence_begins_with_the_first_missed_answer_and_ends_when_it_serves() {
    let mut poll = Poll::default();
    poll.missed(NOW, false);
    assert_eq!(poll.down_since, None, "it has not served yet");
    poll.answered("people-1", &report(json!({})), NOW + 1_000);
    poll.missed(NOW + 2_000, false);
    poll.missed(NOW + 3_000, true);
    assert_eq!(poll.down_since, Some(NOW + 2_000));
    let mut loading = report(json!({ "session": 6, "model": { "phase": "Loading" } }));
    loading.capacity = None;
    poll.answered("people-1", &loading, NOW + 4_000);
    assert_eq!(poll.down_since, Some(NOW + 2_000), "it is back, but does not serve yet");
    poll.answered("people-1", &report(json!({ "pod": "other" })), NOW + 4_500);
    assert_eq!(poll.down_since, Some(NOW + 2_000), "somebody else at its address");
    poll.answered("people-1", &report(json!({ "session": 6 })), NOW + 5_000);
    assert_eq!((poll.down_since, poll.session()), (None, 6));
}

#[test]
fn a_pod_that_kubernetes_has_as_ready_is_missed_by_an_operator_that_has_just_begun() {
    let mut poll = Poll::default();
    poll.missed(NOW, false);
    poll.missed(NOW + 1_000, true);
    poll.missed(NOW + 2_000, false);
    assert_eq!(poll.down_since, Some(NOW + 1_000));
}

#[test]
fn pods_may_read_the_secrets_in_use_and_no_others() {
    let login = |name: &str| json!({ "spec": { "credentialsSecretRef": { "name": name } } });
    let mut moved = login("moved");
    moved = merged(
        moved,
        json!({
            "spec": { "modelRef": { "name": "cars" } },
            "status": { "epoch": 1, "assignment": { "pod": "people-1", "epoch": 1 } },
        }),
    );
    let objects = Objects {
        pods: vec![pod(json!({}))],
        sources: vec![
            source("a", login("gate")),
            source("b", login("gate")),
            source("c", json!({})),
            source("d", merged(login("cars"), json!({ "spec": { "modelRef": { "name": "cars" } } }))),
            source("e", merged(login("off"), json!({ "spec": { "enabled": false } }))),
            source("f", merged(login("elsewhere"), json!({ "metadata": { "namespace": "other" } }))),
            source("g", moved),
        ],
        ..Objects::default()
    };
    let names: Vec<String> = secrets(&objects, &key("people")).into_iter().collect();
    assert_eq!(names, ["gate", "moved"]);
}
