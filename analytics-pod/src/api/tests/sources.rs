//! Sources over REST.

use serde_json::json;

use super::*;
use crate::{
    assign::{DesiredModel, ModelKey, from_uris},
    observation::SourceKey,
    source::{Failure, Reason},
    telemetry::{DropReason, StreamState, VideoFormat},
};

const SOURCES: &str = "/api/v1/sources";

fn declared() -> DesiredState {
    let source = crds::ModelSource { builtin: Some("starter".into()), ..crds::ModelSource::default() };
    let model = DesiredModel { key: ModelKey::new("default", "street"), spec: crds::DetectionModelSpec::new(source) };
    from_uris(&["test://gate?password=hunter2".to_owned()], model, Path::new("/")).state
}

#[test]
fn a_source_is_made_shown_changed_and_deleted() {
    let pod = Running::start();
    let told = pod.send("POST", SOURCES, &json!({"id": "yard", "type": "rtsp", "uri": "rtsp://camera/1"}));
    assert_eq!((told.status, told.header("location")), (201, "/api/v1/sources/yard"));
    let made = told.json();
    assert_eq!((&made["status"], &made["source_id"]), (&json!("created"), &json!("yard")));
    let source = &made["source"];
    assert_eq!((&source["origin"], &source["type"]), (&json!("rest"), &json!("rtsp")));
    assert_eq!(source["spec"]["modelRef"]["name"], "starter");
    assert_eq!(pod.get("/api/v1/sources/yard").json(), *source);
    assert_eq!(pod.get(SOURCES).json()["sources"], json!([source]));

    let patched = pod.request(
        "PATCH",
        "/api/v1/sources/yard",
        &[("content-type", "application/merge-patch+json")],
        br#"{"detection": {"fps": 5}}"#.to_vec(),
    );
    assert_eq!((patched.status, &patched.json()["spec"]["detection"]["fps"]), (200, &json!(5)));
    let replaced = pod.send("PUT", "/api/v1/sources/yard", &json!({"uri": "rtsp://camera/2", "enabled": false}));
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_eq!(replaced.json()["spec"]["detection"]["fps"], json!(null));
    assert_eq!(
        (&replaced.json()["uri"], &replaced.json()["status"]["state"]),
        (&json!("rtsp://camera/2"), &json!("Disabled"))
    );

    assert_eq!(pod.delete("/api/v1/sources/yard").status, 204);
    assert_eq!(pod.get("/api/v1/sources/yard").status, 404);
    assert_eq!(pod.delete("/api/v1/sources/yard").status, 404);
    assert_eq!(pod.get(SOURCES).json()["sources"], json!([]));
}

#[test]
fn a_manifest_is_taken_with_its_namespace() {
    let pod = Running::start();
    let manifest = json!({
        "apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource",
        "metadata": {"name": "yard", "namespace": "shop"},
        "spec": {"uri": "sim://street?seed=1", "modelRef": {"name": "starter"}},
    });
    let told = pod.send("POST", SOURCES, &manifest);
    assert_eq!((told.status, told.header("location")), (201, "/api/v1/sources/yard?namespace=shop"));
    assert_eq!(pod.get("/api/v1/sources/yard").status, 404);
    assert_eq!(pod.get("/api/v1/sources/yard?namespace=shop").json()["type"], "test");
    assert_eq!(pod.get("/api/v1/sources?namespace=default").json()["sources"], json!([]));
    assert_eq!(pod.delete("/api/v1/sources/yard?namespace=shop").status, 204);
}

#[test]
fn a_declared_source_is_shown_and_not_changed() {
    let pod = Running::with(declared(), None);
    let shown = pod.get("/api/v1/sources/gate").json();
    assert_eq!((&shown["origin"], &shown["uri"]), (&json!("file"), &json!("test://gate")));
    let one = "/api/v1/sources/gate";
    for told in [
        pod.send("POST", SOURCES, &json!({"id": "gate", "uri": "test://smpte"})),
        pod.send("PUT", one, &json!({"uri": "test://smpte"})),
        pod.send("PATCH", one, &json!({"enabled": false})),
        pod.delete(one),
    ] {
        assert_eq!(told.status, 409);
        told.pointers();
        assert!(told.text.contains("in a manifest or on the command line"), "{told:?}");
    }
    assert_eq!(pod.send("POST", SOURCES, &json!({"id": "yard", "uri": "test://smpte"})).status, 201);
    assert_eq!(pod.get("/api/v1/sources/yard").json()["model"]["name"], "street");
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let pod = Running::start();
    for (body, pointers) in [
        (json!({"id": "a", "uri": "rtsp://u:hunter2@c/1"}), vec!["/uri"]),
        (
            json!({"id": "a", "uri": "test://smpte", "detection": {"confidence": 2, "fps": 0}}),
            vec!["/detection/confidence", "/detection/fps"],
        ),
        (json!({"id": "a", "uri": "test://smpte", "model": "nobody"}), vec!["/model"]),
        (json!({"id": "a", "uri": "test://smpte", "modelRef": {"name": "nobody"}}), vec!["/modelRef/name"]),
        (json!({"id": "a", "type": "webrtc", "uri": "whep://camera/1"}), vec!["/type"]),
        (
            json!({"apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource", "metadata": {"name": "a"}, "spec": {"uri": "test://smpte", "modelRef": {"name": "x"}, "nothing": 1}}),
            vec!["/spec/nothing"],
        ),
    ] {
        let told = pod.send("POST", SOURCES, &body);
        assert_eq!(told.status, 422, "{body}");
        let mut found = told.pointers();
        found.sort();
        assert!(pointers.iter().all(|pointer| found.iter().any(|it| it == pointer)), "{body}: {found:?}");
        assert!(!told.text.contains("hunter2"), "{told:?}");
        assert!(told.json()["errors"].as_array().unwrap().iter().all(|error| error["problem"].is_string()));
    }
    assert!(pod.registry.snapshot().made.sources.is_empty());
}

#[test]
fn a_login_is_kept_and_never_shown() {
    let pod = Running::start();
    let login = json!({"username": "watchman", "password": "hunter2"});
    let body = json!({"id": "gate", "uri": "rtsp://camera/1?token=hunter2", "credentials": login});
    let told = [
        pod.send("POST", SOURCES, &body),
        pod.send("POST", SOURCES, &body),
        pod.send("PATCH", "/api/v1/sources/gate", &json!({"detection": {"fps": 3}})),
        pod.send("PUT", "/api/v1/sources/gate", &json!({"uri": "rtsp://camera/1"})),
        pod.send("PATCH", "/api/v1/sources/gate", &json!({"uri": "rtsp://thief/1"})),
        pod.get("/api/v1/sources/gate"),
        pod.get(SOURCES),
        pod.get("/api/v1/status"),
        pod.get("/health"),
        pod.get("/metrics"),
    ];
    assert_eq!(
        told.iter().map(|told| told.status).collect::<Vec<_>>(),
        [201, 409, 200, 200, 422, 200, 200, 200, 503, 200]
    );
    for told in &told {
        assert!(!told.text.contains("hunter2") && !told.text.contains("watchman"), "{told:?}");
    }
    assert_eq!(told[5].json()["hasCredentials"], true);
    let made = pod.registry.snapshot().made.sources[&SourceKey::new("default", "gate")].clone();
    assert_eq!(made.credentials.as_ref().unwrap().password, "hunter2");
    assert_eq!(made.spec.uri, "rtsp://camera/1?token=hunter2");
    assert!(pod.kept().contains("hunter2"));
    assert_eq!(
        pod.send("PATCH", "/api/v1/sources/gate", &json!({"credentials": null})).json()["hasCredentials"],
        false
    );
}

#[test]
fn a_status_tells_what_was_counted() {
    let pod = Running::start();
    assert_eq!(pod.send("POST", SOURCES, &json!({"id": "gate", "uri": "rtsp://camera/1"})).status, 201);
    let idle = pod.get("/api/v1/sources/gate").json()["status"].clone();
    assert_eq!((&idle["state"], &idle["lastError"], &idle["latencyMs"]), (&json!("Idle"), &json!(null), &json!(null)));
    let stream = pod.telemetry.add_source(&SourceKey::new("default", "gate"));
    stream.count_attempt();
    stream.set_last_failure(Failure::new(Reason::Timeout, "no answer in 5 s"));
    stream.set_consecutive_failures(1);
    stream.count_attempt();
    stream.set_state(StreamState::Streaming);
    stream.set_format(VideoFormat { codec: "H.264".into(), width: 1280, height: 720 });
    stream.count_received(500);
    stream.count_received(700);
    stream.count_decoded();
    stream.count_dropped(DropReason::Superseded, 1);
    stream.count_processed(3, Duration::from_millis(40));
    let status = pod.get("/api/v1/sources/gate").json()["status"].clone();
    assert_eq!(status["state"], "Streaming");
    assert_eq!(status["frames"], json!({"received": 2, "decoded": 1, "processed": 1}));
    assert_eq!((&status["receivedBytes"], &status["objects"]), (&json!(1200), &json!(3)));
    assert_eq!((&status["drops"]["Superseded"], &status["drops"]["Undecodable"]), (&json!(1), &json!(0)));
    assert_eq!((&status["errors"], &status["retries"]), (&json!({"Timeout": 1}), &json!(1)));
    assert_eq!(status["consecutiveFailures"], 1);
    assert_eq!(
        (&status["lastError"]["reason"], &status["lastError"]["message"]),
        (&json!("Timeout"), &json!("no answer in 5 s"))
    );
    assert_eq!((&status["resolution"], &status["codec"]), (&json!({"width": 1280, "height": 720}), &json!("H.264")));
    assert!((status["latencyMs"]["p95"].as_f64().unwrap() - 40.0).abs() < 0.1, "{status}");
    for time in [&status["lastError"]["time"], &status["lastFrameTime"]] {
        let age = jiff::Timestamp::now().duration_since(time.as_str().unwrap().parse().unwrap());
        assert!(age.as_secs() < 60, "{time}");
    }
    let overall = pod.get("/api/v1/status").json();
    assert_eq!(overall["sources"], json!({"total": 1, "streaming": 1, "disabled": 0}));
    assert_eq!((&overall["engine"], &overall["cores"]), (&json!("native"), &json!(2)));
    assert!(overall["memory"]["residentBytes"].as_u64().unwrap() > 0 && overall["version"].is_string());
}

#[test]
fn what_the_folder_does_not_take_is_said_and_changes_nothing() {
    let pod = Running::start();
    assert_eq!(pod.send("POST", SOURCES, &json!({"id": "gate", "uri": "test://smpte"})).status, 201);
    std::fs::remove_dir_all(pod.state_folder()).unwrap();
    let told = pod.send("POST", SOURCES, &json!({"id": "yard", "uri": "test://smpte"}));
    assert_eq!(told.status, 500);
    told.pointers();
    assert!(told.text.contains("state folder"), "{told:?}");
    assert_eq!(pod.get("/api/v1/sources/yard").status, 404);
    assert_eq!(pod.get("/api/v1/sources/gate").status, 200);
}
