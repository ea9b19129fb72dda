//! The configuration over HTTP.

use serde_json::json;

use super::*;

#[test]
fn every_value_is_told_with_its_origin_and_when_it_can_change() {
    let pod = Running::start();
    let told = pod.get("/api/v1/config").json();
    assert_eq!(told["config"]["listen"], "127.0.0.1:8080");
    let setting = &told["settings"]["log.level"];
    assert_eq!((&setting["change"], &setting["variable"]), (&json!("live"), &json!("VISION_LOG_LEVEL")));
    assert_eq!((&setting["origin"]["kind"], &setting["origin"]["name"]), (&json!("profile"), &json!("default")));
    assert!(setting["origin"]["line"].as_u64() > Some(1));
    assert_eq!(told["settings"]["listen"]["change"], "restart");
    assert_eq!(told["settings"]["sources"]["change"], "reload");
    assert_eq!(told["pendingRestart"], json!([]));
}

#[test]
fn a_change_is_kept_and_reaches_sources_that_say_nothing_themselves() {
    let pod = Running::start();
    for body in [
        json!({"id": "says", "uri": "test://smpte", "detection": {"confidence": 0.9, "interval": "2s", "classes": []}}),
        json!({"id": "silent", "uri": "test://smpte"}),
    ] {
        assert_eq!(pod.send("POST", "/api/v1/sources", &body).status, 201);
    }
    let changed =
        pod.send("PUT", "/api/v1/config/detection", &json!({"confidence": 0.5, "fps": 7, "classes": ["car"]}));
    assert_eq!((changed.status, &changed.json()["config"]["detection"]["fps"]), (200, &json!(7)));
    let state = pod.registry.snapshot().merged.state.clone();
    let detection = |name: &str| state.sources[&crate::observation::SourceKey::new("default", name)].detection.clone();
    let silent = detection("silent");
    assert_eq!((silent.fps, silent.confidence, silent.classes), (Some(7.0), Some(0.5), Some(vec!["car".to_owned()])));
    let says = detection("says");
    assert_eq!((says.fps, says.confidence, says.classes), (Some(0.5), Some(0.9), None));
    assert!(pod.kept().contains("\"fps\": 7"));
    // A source shows what was asked of it.
    assert_eq!(pod.get("/api/v1/sources/silent").json()["spec"]["detection"], json!({}));

    let back = pod.send("POST", "/api/v1/config", &json!({"detection": null}));
    assert_eq!((back.status, &back.json()["config"]["detection"]["fps"]), (200, &json!(null)));
    let state = pod.registry.snapshot().merged.state.clone();
    assert_eq!(state.sources[&crate::observation::SourceKey::new("default", "silent")].detection.fps, None);
}

#[test]
fn a_wrong_document_changes_nothing_and_is_pointed_at() {
    let pod = Running::start();
    for (method, path, body, status, pointers) in [
        (
            "POST",
            "/api/v1/config",
            json!({"detection": {"iou": 3}, "log": {"level": "debug"}}),
            422,
            vec!["/detection/iou"],
        ),
        ("POST", "/api/v1/config", json!({"log": {"level": "debug"}, "listen": "127.0.0.1:1"}), 409, vec!["/listen"]),
        ("POST", "/api/v1/config", json!({"sources": [{"id": "gate"}]}), 409, vec!["/sources"]),
        ("POST", "/api/v1/config", json!({"lgo": {}}), 422, vec!["/lgo"]),
        ("POST", "/api/v1/config", json!([]), 422, vec![""]),
        ("PUT", "/api/v1/config/detection", json!({"confidence": "high"}), 422, vec!["/confidence"]),
        ("PUT", "/api/v1/config/detection", json!({"fps": 1, "interval": "1s"}), 422, vec![""]),
    ] {
        let told = pod.send(method, path, &body);
        assert_eq!(
            (told.status, told.pointers()),
            (status, pointers.into_iter().map(str::to_owned).collect()),
            "{body}"
        );
    }
    assert_eq!(pod.get("/api/v1/config").json()["settings"]["log.level"]["origin"]["kind"], "profile");
    assert_eq!(pod.get("/api/v1/config/detection").status, 405);
    assert!(!pod.state_folder().join("config.json").exists());
}

#[test]
fn changes_need_a_state_folder() {
    let registry = Arc::new(Registry::read_only(DesiredState::default(), "a reason"));
    let store = config_of(&registry, None);
    let error = store.change(&json!({"log": {"level": "debug"}})).unwrap_err().to_string();
    assert!(error.contains("a reason"), "{error}");
    assert_eq!(store.current().config.detection, crds::Detection::default());
}
