//! The description of the API: complete, and true of what is answered.

use serde_json::json;

use super::*;
use crate::{
    api::routes::ROUTES,
    observation::SourceKey,
    source::{Failure, Reason},
    telemetry::{StreamState, VideoFormat},
};

/// Holds an answer against what the document says of it.
struct Judge {
    document: Value,
}

impl Judge {
    fn new(pod: &Running) -> Self {
        Self { document: pod.get("/api/v1/openapi.json").json() }
    }

    fn check(&self, method: &str, path: &str, told: &Told) {
        let response = &self.document["paths"][path][method]["responses"][told.status.to_string()];
        assert!(response.is_object(), "{method} {path} does not say that it answers {}", told.status);
        let media = told.header("content-type").split(';').next().unwrap_or_default().to_owned();
        if media.is_empty() {
            assert!(response["content"].is_null(), "{method} {path}");
            return;
        }
        let schema = &response["content"][&media]["schema"];
        assert!(schema.is_object(), "{method} {path} {} does not say that it answers {media}", told.status);
        if media.ends_with("json") {
            let found = self.faults(schema, &told.json());
            assert_eq!(found, Vec::<String>::new(), "{method} {path} {told:?}");
        }
    }

    fn faults(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let mut whole = json!({ "components": self.document["components"] });
        whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn component(&self, name: &str) -> Value {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        assert!(self.document["components"]["schemas"][name].is_object(), "there is no {name}");
        schema
    }
}

#[test]
fn every_route_is_described_and_every_reference_leads_somewhere() {
    let pod = Running::start();
    let judge = Judge::new(&pod);
    assert_eq!(judge.document["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for route in ROUTES {
        for method in route.methods {
            let operation = &judge.document["paths"][route.path][method.as_str().to_ascii_lowercase()];
            ids.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{}", route.path)).to_owned());
            assert_eq!(operation["requestBody"].is_object(), method.has_body(), "{} {method:?}", route.path);
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operationId comes twice");
    let text = judge.document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(judge.document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    assert!(!text.contains("x-kubernetes") && !text.contains("nullable"));
}

#[test]
fn real_answers_are_as_described() {
    let pod = Running::start();
    let judge = Judge::new(&pod);
    let (sources, one) = ("/api/v1/sources", "/api/v1/sources/{name}");
    let source = json!({
        "id": "gate", "type": "rtsp", "uri": "rtsp://camera/1", "detection": {"fps": 5, "classes": ["person"]},
        "credentials": {"username": "watchman", "password": "hunter2"},
    });
    judge.check("post", sources, &pod.send("POST", sources, &source));
    judge.check("post", sources, &pod.send("POST", sources, &source));
    judge.check("post", sources, &pod.send("POST", sources, &json!({"id": 5})));
    judge.check("post", sources, &pod.request("POST", sources, &[], b"x".to_vec()));
    let stream = pod.telemetry.add_source(&SourceKey::new("default", "gate"));
    stream.set_last_failure(Failure::new(Reason::Timeout, "no answer"));
    stream.set_state(StreamState::Streaming);
    stream.set_format(VideoFormat { codec: "H.264".into(), width: 1280, height: 720 });
    stream.count_received(1);
    stream.count_processed(1, Duration::from_millis(5));
    stream.set_model(&crate::telemetry::test_support::model_info("starter", &["person"]));
    judge.check("get", sources, &pod.get(sources));
    judge.check("get", one, &pod.get("/api/v1/sources/gate"));
    judge.check("get", one, &pod.get("/api/v1/sources/nobody"));
    judge.check("put", one, &pod.send("PUT", "/api/v1/sources/gate", &json!({"uri": "rtsp://camera/1"})));
    judge.check("patch", one, &pod.send("PATCH", "/api/v1/sources/gate", &json!({"enabled": false})));
    judge.check("get", "/api/v1/sources/{name}/frame.jpg", &pod.get("/api/v1/sources/gate/frame.jpg"));
    let (models, model) = ("/api/v1/models", "/api/v1/models/{name}");
    judge.check("post", models, &pod.send("POST", models, &json!({"id": "cars", "source": {"builtin": "starter"}})));
    judge.check("put", model, &pod.send("PUT", "/api/v1/models/cars", &json!({"source": {"builtin": "starter"}})));
    judge.check("get", models, &pod.get(models));
    judge.check("get", model, &pod.get("/api/v1/models/cars"));
    judge.check("delete", model, &pod.delete("/api/v1/models/cars"));
    let (config, defaults) = ("/api/v1/config", "/api/v1/config/detection");
    judge.check("get", config, &pod.get(config));
    judge.check("put", defaults, &pod.send("PUT", defaults, &json!({"confidence": 0.5})));
    judge.check("put", defaults, &pod.send("PUT", defaults, &json!({"confidence": 5})));
    judge.check("post", config, &pod.send("POST", config, &json!({"log": {"level": "info"}, "detection": null})));
    judge.check("post", config, &pod.send("POST", config, &json!({"listen": "127.0.0.1:1"})));
    judge.check("get", "/api/v1/status", &pod.get("/api/v1/status"));
    judge.check("get", "/health", &pod.get("/health"));
    pod.health.set_started();
    for path in ["/health", "/livez", "/readyz", "/startupz", "/metrics", "/docs"] {
        judge.check("get", path, &pod.get(path));
    }
    judge.check("delete", one, &pod.delete("/api/v1/sources/gate"));
    judge.check("delete", one, &pod.delete("/api/v1/sources/gate"));
}

#[test]
fn what_the_document_allows_is_taken_and_what_it_forbids_is_not() {
    let pod = Running::start();
    let judge = Judge::new(&pod);
    let any = json!({ "anyOf": [judge.component("SourceSubmission"), judge.component("VideoSourceManifest")] });
    for (number, (mut body, good)) in [
        (json!({"uri": "test://smpte"}), true),
        (json!({"uri": "test://smpte", "type": "test", "model": "starter", "loop": null, "detection": {"classes": null}}), true),
        (json!({"uri": "rtsp://c/1", "recovery": {"stallTimeout": "2s", "maxAttempts": 3}, "transport": {"protocol": "TCP"}}), true),
        (json!({"uri": "test://smpte", "nothing": 1}), false),
        (json!({"uri": "test://smpte", "detection": {"confidence": 1.5}}), false),
        (json!({"uri": "test://smpte", "detection": {"nothing": 1}}), false),
        (json!({"uri": "test://smpte", "recovery": {"stallTimeout": "soon"}}), false),
        (json!({"uri": 5}), false),
        (json!({}), false),
    ]
    .into_iter()
    .enumerate()
    {
        body["id"] = format!("camera-{number}").into();
        assert_eq!(judge.faults(&any, &body).is_empty(), good, "{body}");
        assert_eq!(pod.send("POST", "/api/v1/sources", &body).status, if good { 201 } else { 422 }, "{body}");
    }
}

#[test]
fn what_the_document_says_of_the_configuration_holds() {
    let pod = Running::start();
    let judge = Judge::new(&pod);
    for (schema, method, path, body, good) in [
        ("DetectionDefaults", "PUT", "/api/v1/config/detection", json!({}), true),
        (
            "DetectionDefaults",
            "PUT",
            "/api/v1/config/detection",
            json!({"fps": 5, "classes": ["car"], "iou": null}),
            true,
        ),
        ("DetectionDefaults", "PUT", "/api/v1/config/detection", json!({"fps": 0}), false),
        ("DetectionDefaults", "PUT", "/api/v1/config/detection", json!({"nothing": 1}), false),
        ("DetectionDefaults", "PUT", "/api/v1/config/detection", Value::Null, false),
        ("ConfigChange", "POST", "/api/v1/config", json!({}), true),
        ("ConfigChange", "POST", "/api/v1/config", json!({"log": {"level": "debug"}, "detection": {"iou": 0.5}}), true),
        ("ConfigChange", "POST", "/api/v1/config", json!({"log": null, "detection": null}), true),
        ("ConfigChange", "POST", "/api/v1/config", json!({"log": {"level": ""}}), false),
        ("ConfigChange", "POST", "/api/v1/config", json!({"detection": {"confidence": "high"}}), false),
        ("ConfigChange", "POST", "/api/v1/config", json!([]), false),
    ] {
        assert_eq!(judge.faults(&judge.component(schema), &body).is_empty(), good, "{body}");
        assert_eq!(pod.send(method, path, &body).status, if good { 200 } else { 422 }, "{body}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let pod = Running::with(DesiredState::default(), Some("0123456789abcdef"));
    let page = pod.get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    for elsewhere in ["http://", "https://", "//cdn", "@import", "src=\"", "<link"] {
        assert!(!page.text.contains(elsewhere), "{elsewhere}");
    }
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
}
