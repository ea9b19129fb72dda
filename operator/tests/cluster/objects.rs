//! What objects get told, and what the operator asks for.

use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::{
    api::{
        core::v1::{Event, Secret},
        rbac::v1::Role,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::scene::{Scene, condition, eventually, version};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_bound_and_ready_with_few_writes_and_then_nothing_is_written() {
    let Some(scene) = Scene::set("bound").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    let sources = scene.sources();
    let watch = sources.watch(&WatchParams::default().timeout(280), "0").await.unwrap();
    scene.add_source("gate", json!({})).await;
    let mut watch = std::pin::pin!(watch);
    let mut writes = 0;
    let ready = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            match watch.next().await.unwrap().unwrap() {
                WatchEvent::Modified(source) => {
                    writes += 1;
                    let status = source.status.clone().unwrap();
                    if condition(&status, "Ready").0 == "True" {
                        return source;
                    }
                }
                WatchEvent::Added(_) | WatchEvent::Bookmark(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let ready = ready.await.expect("ready in a minute");
    assert!(writes <= 4, "{writes} status writes from creation to Ready");
    let status = ready.status.clone().unwrap();
    let assignment = status.assignment.clone().unwrap();
    assert_eq!(status.epoch, Some(assignment.epoch));
    assert!(assignment.node.unwrap().starts_with("node-"));
    assert_eq!((status.resolution.as_deref(), status.codec.as_deref()), (Some("1920x1080"), Some("H264")));
    for kind in ["Accepted", "Assigned", "Streaming"] {
        assert_eq!(condition(&status, kind).0, "True", "{kind}");
    }
    let model = eventually("the model's status counts the stream", async || {
        let model = scene.models().get("people").await.unwrap();
        let status = model.status.clone()?;
        (status.streams == 1 && status.ready_pods == 1 && status.capacity == 8).then_some(model)
    })
    .await;
    let pods = scene.pods().list(&ListParams::default()).await.unwrap();
    // At rest nothing is written: six seconds are six rounds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(version(&scene.sources().get("gate").await.unwrap()), version(&ready));
    assert_eq!(version(&scene.models().get("people").await.unwrap()), version(&model));
    assert_eq!(version(&scene.pods().list(&ListParams::default()).await.unwrap().items[0]), version(&pods.items[0]));
    // What was done is told.
    let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.stage.namespace);
    eventually("the binding is told as an event", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter()
            .any(|event| {
                event.involved_object.name.as_deref() == Some("gate")
                    && event.reason.as_deref() == Some("Placed")
                    && event.action.as_deref() == Some("Bind")
            })
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_named_in_the_role_before_the_binding_and_never_asked_for() {
    let Some(scene) = Scene::set("secrets").await else { return };
    let _tell = scene.tell();
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), &scene.stage.namespace);
    let login = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "gate-login" }, "type": "kubernetes.io/basic-auth",
        "stringData": { "username": "viewer", "password": "swordfish" },
    });
    secrets.create(&PostParams::default(), &serde_json::from_value(login).unwrap()).await.unwrap();
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({ "credentialsSecretRef": { "name": "gate-login" } })).await;
    eventually("the source is bound", async || scene.status("gate").await.assignment).await;
    let roles: Api<Role> = Api::namespaced(scene.client.clone(), &scene.stage.namespace);
    let role = roles.get("people-analytics").await.unwrap();
    let names = role.rules.into_iter().flatten().find(|rule| rule.resources == Some(vec!["secrets".to_owned()]));
    assert_eq!(names.unwrap().resource_names, Some(vec!["gate-login".to_owned()]));
    scene.all_stream().await;
    let audit = std::fs::read_to_string(scene.plane.audit_log()).unwrap();
    let user = format!("system:serviceaccount:{}:operator", scene.stage.system);
    let mut asked = 0;
    for line in audit.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if entry["user"]["username"] != json!(user) {
            continue;
        }
        asked += 1;
        let verb = entry["verb"].as_str().unwrap();
        let object = (entry["objectRef"]["namespace"].as_str(), entry["objectRef"]["name"].as_str());
        let its_own = object == (Some(&scene.stage.system), Some("vision-operator-ca"));
        assert!(verb == "patch" || verb == "create" || (verb == "get" && its_own), "{line}");
    }
    assert!(asked >= 2, "the audit log tells of the CA and of the certificate");
    assert!(!scene.operator.log().contains("swordfish"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_is_told_with_the_pods_own_reason() {
    let Some(scene) = Scene::set("failing-model").await else { return };
    let _tell = scene.tell();
    scene.fleet.behave_usually(fake_fleet::Behaviour::FailsToLoad);
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    let conditions = eventually("the model tells why", async || {
        let status = scene.models().get("people").await.unwrap().status?;
        let failed = |kind: &str| {
            status.conditions.iter().any(|condition| {
                condition.type_ == kind && condition.status == "False" && condition.reason == "DigestMismatch"
            })
        };
        (failed("Ready") && failed("PodsHealthy")).then_some(status.conditions.clone())
    })
    .await;
    assert!(conditions.iter().any(|condition| condition.message.contains("another digest")));
    assert_eq!(scene.status("gate").await.assignment, None);
}

/// Alone in its own control plane: it changes a kind for everyone.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_told_and_the_watch_goes_on() {
    let started = tokio::task::spawn_blocking(fake_fleet::ControlPlane::start).await.unwrap();
    let plane = match started {
        Ok(plane) => plane,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    plane.furnish(1).await.unwrap();
    let client = plane.client().await.unwrap();
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    // As a cluster whose definitions are those of a version that knew other words.
    let mut kind = kinds.get("videosources.vision-operator.dev").await.unwrap();
    for version in &mut kind.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()).unwrap();
        let loose = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let properties = schema.properties.as_mut().unwrap();
        properties.insert("spec".to_owned(), serde_json::from_value(loose).unwrap());
        schema.x_kubernetes_validations = None;
    }
    kind.metadata.managed_fields = None;
    kinds.replace(&kind.name_any(), &PostParams::default(), &kind).await.unwrap();
    let rights = fake_fleet::Rights::documented().unwrap();
    let stage = fake_fleet::Stage::set(&plane, "unreadable", &rights, None).await.unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(crds::GROUP, "v1alpha1", "VideoSource"));
    let sources: Api<DynamicObject> = Api::namespaced_with(client.clone(), "unreadable", &resource);
    let bad = json!({
        "apiVersion": crds::API_VERSION, "kind": "VideoSource", "metadata": { "name": "bad" },
        "spec": { "uri": 7, "modelRef": "people" },
    });
    eventually("the looser schema is in force", async || {
        let bad: DynamicObject = serde_json::from_value(bad.clone()).unwrap();
        sources.create(&PostParams::default(), &bad).await.ok()
    })
    .await;
    let _fleet = fake_fleet::Fleet::start(&client, "unreadable");
    let operator = stage.operator(crate::scene::program(), "operator-1", &[]).unwrap();
    let apply = PatchParams::apply("test").force();
    let model = json!({
        "apiVersion": crds::API_VERSION, "kind": "DetectionModel", "metadata": { "name": "people" },
        "spec": { "source": { "builtin": "starter" } },
    });
    let models = ApiResource::from_gvk(&GroupVersionKind::gvk(crds::GROUP, "v1alpha1", "DetectionModel"));
    let models: Api<DynamicObject> = Api::namespaced_with(client.clone(), "unreadable", &models);
    models.patch("people", &apply, &Patch::Apply(&model)).await.unwrap();
    let good = json!({
        "apiVersion": crds::API_VERSION, "kind": "VideoSource", "metadata": { "name": "good" },
        "spec": { "uri": "rtsp://camera/1", "modelRef": { "name": "people" }, "detection": { "fps": 10 } },
    });
    sources.patch("good", &apply, &Patch::Apply(&good)).await.unwrap();
    let _tell = crate::scene::Tell(operator.log_file().to_owned());
    eventually("good is served and bad is told", async || {
        let told = sources.get("bad").await.unwrap();
        let served = sources.get("good").await.unwrap();
        let is = |object: &DynamicObject, kind: &str, status: &str| {
            let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == status)
        };
        (is(&told, "Accepted", "False") && is(&served, "Ready", "True")).then_some(())
    })
    .await;
}
