//! The definitions as an API server sees them, and the CEL rules beside the functions that say the same.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use crds::{DetectionModelSpec, VideoSource, VideoSourceSpec, definitions, manifests};
use kube::core::{
    DeserializeGuard, ObjectList,
    cel::{ErrorKind, ScopeContext, ValidationError, Validator, analyze_rule, apply_defaults, compile_schema},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The schema of a kind, from its definition.
fn schema(kind: &str) -> Value {
    let definition = definitions().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap();
    let version = definition.spec.versions.into_iter().next().unwrap();
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
}

/// What the rules have against `object`, defaults applied, as an API server would.
fn rejected(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<ValidationError> {
    let object = apply_defaults(schema, object);
    let old = old.map(|old| apply_defaults(schema, old));
    Validator::new().validate(schema, &object, old.as_ref()).err().map_or_else(Vec::new, |errors| {
        for error in &errors.clone().into_vec() {
            assert!(
                matches!(error.kind, ErrorKind::ValidationFailure | ErrorKind::EvaluationError),
                "{error} ({:?}) in {}",
                error.kind,
                error.rule
            );
        }
        errors.into_vec()
    })
}

fn object(spec: &Value) -> Value {
    json!({ "metadata": { "name": "a" }, "spec": spec })
}

#[test]
fn generated_manifests_are_current() {
    let current = include_str!("../generated/vision-operator.dev.yaml");
    assert!(manifests().unwrap() == current, "run: make crds");
    let of_chart = include_str!("../../helm/files/crds.yaml");
    assert!(of_chart == current, "helm/files/crds.yaml is not crds/generated/vision-operator.dev.yaml; run: make crds");
}

/// Visits every node of a schema.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for entries in ["items", "additionalProperties"] {
        if schema[entries].is_object() {
            walk(&format!("{path}[]"), &schema[entries], visit);
        }
    }
}

#[test]
fn everything_is_bounded_and_structural() {
    for kind in ["VideoSource", "DetectionModel"] {
        walk(kind, &schema(kind), &mut |path, node| {
            let has = |key: &str| !node[key].is_null();
            if has("x-kubernetes-int-or-string") {
                assert!(has("maxLength"), "{path}");
                return;
            }
            match node["type"].as_str().unwrap_or_else(|| panic!("{path} has no type")) {
                "string" => assert!(has("maxLength") || has("enum") || node["format"] == "date-time", "{path}"),
                "array" => assert!(has("maxItems") && has("items"), "{path}"),
                "integer" | "number" => assert!(has("minimum"), "{path}"),
                "object" if has("additionalProperties") => {
                    assert!(has("maxProperties") && !has("properties"), "{path}");
                }
                "object" => assert!(has("properties"), "{path}"),
                "boolean" => {}
                other => panic!("{path} is {other}"),
            }
            for key in ["nullable", "anyOf", "oneOf", "allOf", "$ref"] {
                assert!(!has(key), "{path} has {key}");
            }
        });
    }
}

#[test]
fn rules_compile_and_are_cheap() {
    for kind in ["VideoSource", "DetectionModel"] {
        walk(kind, &schema(kind), &mut |path, node| {
            let compiled = compile_schema(node);
            assert!(!compiled.has_errors(), "{path}: {:?}", compiled.compilation_errors());
            for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let mut warnings = analyze_rule(rule["rule"].as_str().unwrap(), &compiled, ScopeContext::CrdValidation);
                // The analysis takes the variable of a macro for one from outside; the API server does not.
                warnings.retain(|warning| {
                    !["variable 'key' ", "variable 'entry' "].iter().any(|start| warning.message.starts_with(start))
                });
                assert!(warnings.is_empty(), "{path}: {warnings:?}");
                assert!(!rule["message"].as_str().unwrap().contains('\n'), "{path}: the API refuses such messages");
            }
        });
    }
}

#[test]
fn columns_selectors_and_names() {
    let all = serde_json::to_value(definitions()).unwrap();
    let version = |index: usize| &all[index]["spec"]["versions"][0];
    let columns = |index: usize| -> Vec<&str> {
        let columns = version(index)["additionalPrinterColumns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].as_str().unwrap()).collect()
    };
    assert_eq!(columns(0), ["Pods", "Ready", "Streams", "Capacity", "Age"]);
    assert_eq!(columns(1), ["Model", "Pod", "Node", "State", "Reason", "Age"]);
    assert_eq!(all[0]["spec"]["names"]["shortNames"], json!(["dm"]));
    assert_eq!(all[1]["spec"]["names"]["shortNames"], json!(["vsrc"]));
    for index in [0, 1] {
        assert_eq!(all[index]["spec"]["names"]["categories"], json!(["vision"]));
    }
    let scale = json!({
        "specReplicasPath": ".spec.serving.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    });
    assert_eq!(version(0)["subresources"], json!({ "status": {}, "scale": scale }));
    assert_eq!(version(1)["subresources"], json!({ "status": {} }));
    assert_eq!(
        version(1)["selectableFields"],
        json!([{ "jsonPath": ".status.assignment.pod" }, { "jsonPath": ".status.handover.pod" }])
    );
}

/// Merges `change` into `base`, object by object.
fn merge(base: &mut Value, change: &Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change.clone(),
    }
}

/// Asserts that rules and function agree on a spec, and returns whether they accept it.
fn source_is_accepted(spec: &Value) -> bool {
    let rules = rejected(&schema("VideoSource"), &object(spec), None);
    let functions = serde_json::from_value::<VideoSourceSpec>(spec.clone()).unwrap().violations();
    assert_eq!(rules.is_empty(), functions.is_empty(), "{spec}\nrules: {rules:?}\nfunctions: {functions:?}");
    functions.is_empty()
}

fn model_is_accepted(spec: &Value) -> bool {
    let rules = rejected(&schema("DetectionModel"), &object(spec), None);
    let functions = serde_json::from_value::<DetectionModelSpec>(spec.clone()).unwrap().violations();
    assert_eq!(rules.is_empty(), functions.is_empty(), "{spec}\nrules: {rules:?}\nfunctions: {functions:?}");
    functions.is_empty()
}

#[test]
fn sources_that_are_accepted_and_refused() {
    let cases = [
        (json!({}), true),
        (json!({ "uri": "rtsps://camera.example:322/stream?profile=1" }), true),
        (json!({ "uri": "rtsp://[2001:db8::1]:554/live" }), true),
        (json!({ "uri": "http://h/a@b" }), true),
        (json!({ "uri": "file:///clips/a@b.mp4" }), true),
        (json!({ "uri": "file:clips/street.mp4" }), true),
        (json!({ "uri": "sim://street?seed=1" }), true),
        (json!({ "uri": "test://smpte" }), true),
        (json!({ "uri": "rtsp://admin:pw@camera/live" }), false),
        (json!({ "uri": "rtsp://admin@camera/live" }), false),
        (json!({ "uri": "http:///admin:pw@camera/live" }), false),
        (json!({ "uri": "http://admin:p\\w@camera" }), false),
        (json!({ "uri": "ht\ttp://camera" }), false),
        (json!({ "uri": "http:admin:pw@camera" }), false),
        (json!({ "uri": "rtsp://" }), false),
        (json!({ "uri": "rtsp:///live" }), false),
        (json!({ "uri": "rtsp://:554/live" }), false),
        (json!({ "uri": "file:" }), false),
        (json!({ "uri": "file://clip.mp4" }), false),
        (json!({ "uri": "sim://" }), false),
        (json!({ "uri": "v4l2:///dev/video0" }), true),
        (json!({ "uri": "v4l2:///dev/video0", "capture": { "width": 640, "height": 480, "format": "MJPEG" } }), true),
        (json!({ "uri": "v4l2:///dev/video0", "capture": { "width": 640 } }), false),
        (json!({ "capture": { "fps": 5 } }), false),
        (json!({ "capture": { "fps": 5 }, "fallbackURIs": ["v4l2:///dev/video0"] }), true),
        (json!({ "uri": "v4l2://dev/video0" }), false),
        (json!({ "uri": "udp://0.0.0.0:5004" }), true),
        (json!({ "uri": "udp://239.1.2.3:5004?interface=eth0" }), true),
        (json!({ "uri": "udp://[ff02::1]:5004" }), true),
        (json!({ "uri": "udp://0.0.0.0" }), false),
        (json!({ "uri": "udp://:5004" }), false),
        (json!({ "uri": "udp://0.0.0.0:a" }), false),
        (json!({ "uri": "rtp://0.0.0.0:5004?encoding=H264&payload=96" }), true),
        (json!({ "uri": "rtp://0.0.0.0:5004?payload=26&encoding=JPEG" }), true),
        (json!({ "uri": "rtp://0.0.0.0:5004?encoding=VP8" }), false),
        (json!({ "uri": "rtp://0.0.0.0:5004" }), false),
        (json!({ "uri": "srt://host:9000?mode=listener" }), true),
        (json!({ "uri": "srt://host:9000?passphrase=hunter2hunter2" }), false),
        (json!({ "uri": "srt://host:9000", "credentialsSecretRef": { "name": "login" } }), true),
        (json!({ "uri": "whep://host/camera" }), false),
        (json!({ "uri": "onvif://host/" }), false),
        (json!({ "fallbackURIs": ["rtsp://camera/sub", "file:///clip.mp4"] }), true),
        (json!({ "fallbackURIs": ["rtsp://camera/sub", "rtsp://u:p@camera/sub"] }), false),
        (json!({ "fallbackURIs": ["rtmp://camera/sub"] }), false),
        (
            json!({ "uri": "sim://street", "fallbackURIs": ["rtsp://h/"], "credentialsSecretRef": { "name": "a" } }),
            true,
        ),
        (json!({ "uri": "rtps://camera/live" }), false),
        (json!({ "uri": "/clips/street.mp4" }), false),
        (json!({ "credentialsSecretRef": { "name": "login" } }), true),
        (json!({ "uri": "sim://street", "credentialsSecretRef": { "name": "login" } }), false),
        (json!({ "transport": { "latency": "0s" } }), true),
        (json!({ "transport": { "latency": "11s" } }), false),
        (json!({ "detection": { "fps": 5 } }), true),
        (json!({ "detection": { "interval": "2s" } }), true),
        (json!({ "detection": { "fps": 5, "interval": "2s" } }), false),
        (json!({ "detection": { "interval": "0s" } }), false),
        (json!({ "recovery": { "initialBackoff": "5s" } }), true),
        (json!({ "recovery": { "initialBackoff": "6s" } }), false),
        (json!({ "recovery": { "initialBackoff": "6s", "maxBackoff": "1m" } }), true),
        (json!({ "recovery": { "maxBackoff": "400ms" } }), false),
        (json!({ "recovery": { "maxBackoff": "2h" } }), false),
        (json!({ "recovery": { "stallTimeout": "50ms" } }), false),
    ];
    for (change, accepted) in cases {
        let mut spec = json!({ "uri": "rtsp://camera/live", "modelRef": { "name": "starter" } });
        merge(&mut spec, &change);
        assert_eq!(source_is_accepted(&spec), accepted, "{change}");
    }
}

#[test]
fn models_that_are_accepted_and_refused() {
    let digest = "0".repeat(64);
    let cases = [
        (json!({ "builtin": "starter" }), true),
        (json!({ "builtin": "starter", "sha256": digest }), true),
        (json!({ "file": "yolox.onnx" }), true),
        (json!({ "file": "/models/a@b.onnx" }), true),
        (json!({ "url": "https://example.com/m.onnx", "sha256": digest }), true),
        (json!({}), false),
        (json!({ "sha256": digest }), false),
        (json!({ "builtin": "starter", "file": "a.onnx" }), false),
        (json!({ "url": "https://example.com/m.onnx" }), false),
        (json!({ "url": "http://example.com/m.onnx", "sha256": digest }), false),
        (json!({ "url": "https:///m.onnx", "sha256": digest }), false),
        (json!({ "url": "https://user:pw@example.com/m.onnx", "sha256": digest }), false),
        (json!({ "file": "file:a.onnx" }), false),
        (json!({ "file": "s3://bucket/a.onnx" }), false),
    ];
    for (source, accepted) in cases {
        assert_eq!(model_is_accepted(&json!({ "source": source })), accepted, "{source}");
    }
}

#[test]
fn serving_that_is_accepted_and_refused() {
    let cases = [
        (json!({}), true),
        (json!({ "serving": { "minPods": 2, "maxPods": 2 } }), true),
        (json!({ "serving": { "minPods": 3, "maxPods": 2 } }), false),
        (json!({ "serving": { "minPods": 9 } }), false),
        (json!({ "serving": { "replicas": 0 } }), true),
        (json!({ "serving": { "replicas": 8 } }), true),
        (json!({ "serving": { "replicas": 9 } }), false),
        (json!({ "serving": { "replicas": 9, "maxPods": 9 } }), true),
        (json!({ "serving": { "gpu": {} } }), true),
        (json!({ "serving": { "gpu": { "count": 0 } } }), false),
        (
            json!({ "serving": { "gpu": {
                "count": 0,
                "resourceClaims": [{ "name": "gpu", "resourceClaimTemplateName": "one-gpu" }],
            } } }),
            true,
        ),
        (json!({ "device": "CPU", "serving": { "gpu": {} } }), false),
        (json!({ "device": "CPU", "serving": { "resources": { "limits": { "cpu": 2, "memory": "1Gi" } } } }), true),
        (json!({ "serving": { "podTemplate": { "labels": { "team": "yard" } } } }), true),
        (json!({ "serving": { "podTemplate": { "labels": { "vision-operator.dev/serving": "false" } } } }), false),
        (json!({ "serving": { "podTemplate": { "annotations": { "vision-operator.dev/evacuate": "" } } } }), false),
        (json!({ "serving": { "scaleDown": { "stabilization": "0s" } } }), true),
        (json!({ "serving": { "scaleDown": { "stabilization": "25h" } } }), false),
    ];
    for (change, accepted) in cases {
        let mut spec = json!({ "source": { "builtin": "starter" } });
        merge(&mut spec, &change);
        assert_eq!(model_is_accepted(&spec), accepted, "{change}");
    }
}

#[test]
fn numbers_that_pixels_are_divided_by_are_above_zero() {
    for (change, accepted) in [
        (json!({ "std": [0.5, 1, 58.4] }), true),
        (json!({ "std": [0, 1, 1] }), false),
        (json!({ "scale": 0.01 }), true),
        (json!({ "scale": 0 }), false),
    ] {
        let spec = json!({ "source": { "builtin": "starter" }, "preprocess": change });
        assert_eq!(model_is_accepted(&spec), accepted, "{spec}");
    }
}

/// An API server answers a pattern with the pattern, and a rule at a text with the text.
#[test]
fn what_is_refused_is_told_in_words_and_without_passwords() {
    for kind in ["VideoSource", "DetectionModel"] {
        walk(kind, &schema(kind), &mut |path, node| {
            // The API's own bounds for conditions, which only the operator writes.
            assert!(node["pattern"].is_null() || path.ends_with(".conditions[].reason"), "{path} has a pattern");
            let may_hold_a_password =
                [".uri", ".fallbackURIs[]", ".url", ".file"].iter().any(|end| path.ends_with(end));
            assert!(!may_hold_a_password || node["x-kubernetes-validations"].is_null(), "{path}");
        });
    }
}

#[test]
fn readers_without_rules_have_the_patterns() {
    let plain = serde_json::to_string(&crds::plain_definitions()).unwrap();
    let patterns = plain.matches("\"pattern\":").count();
    assert!(patterns > 10, "{patterns}");
    for definition in crds::plain_definitions() {
        let version = definition.spec.versions.into_iter().next().unwrap();
        let schema = serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap();
        walk(&definition.spec.names.kind, &schema["properties"]["spec"], &mut |path, node| {
            let pattern = node["pattern"].as_str();
            assert!(pattern.is_none_or(|pattern| crds::expectation(pattern).is_some()), "{path} in words");
        });
    }
}

#[test]
fn defaults_of_serving_are_the_documented_ones() {
    let spec: DetectionModelSpec = serde_json::from_value(json!({ "source": { "builtin": "starter" } })).unwrap();
    let defaulted = apply_defaults(&schema("DetectionModel"), &object(&serde_json::to_value(&spec).unwrap()));
    let serving = &defaulted["spec"]["serving"];
    insta::assert_json_snapshot!(serving);
    assert_eq!(serde_json::from_value::<DetectionModelSpec>(defaulted["spec"].clone()).unwrap(), spec);
}

/// Mistakes that would ask for a hundred times what was meant; the bounds of the schema stop them.
#[test]
fn what_nobody_means_is_out_of_bounds() {
    let node = |kind: &str, path: &str| {
        path.split('.').fold(schema(kind)["properties"]["spec"].clone(), |node, name| node["properties"][name].clone())
    };
    assert_eq!(node("VideoSource", "detection.fps")["maximum"], json!(240.0));
    for (path, most) in [
        ("serving.maxPods", 1000.0),
        ("serving.replicas", 1000.0),
        ("serving.gpu.count", 16.0),
        ("serving.capacity.streams", 1000.0),
        ("serving.capacity.inferencesPerSecond", 100_000.0),
    ] {
        assert_eq!(node("DetectionModel", path)["maximum"], json!(most), "{path}");
    }
}

#[test]
fn epochs_never_go_back() {
    let schema = schema("VideoSource");
    let spec = json!({ "uri": "sim://street", "modelRef": { "name": "starter" } });
    let with = |status: Value| json!({ "metadata": { "name": "a" }, "spec": spec, "status": status });
    let bound = |pod: &str, epoch: i64| json!({ "pod": pod, "epoch": epoch });
    let allowed = |old: &Value, new: &Value| rejected(&schema, new, Some(old)).is_empty();

    let unassigned = with(json!({ "epoch": 7 }));
    let on_a = with(json!({ "epoch": 7, "assignment": bound("a", 7) }));
    let on_a_with_node = with(json!({ "epoch": 7, "assignment": { "pod": "a", "node": "n", "epoch": 7 } }));
    let to_b = with(json!({ "epoch": 8, "assignment": bound("a", 7), "handover": bound("b", 8) }));
    let on_b = with(json!({ "epoch": 8, "assignment": bound("b", 8) }));

    assert!(allowed(&object(&spec), &on_a));
    assert!(allowed(&on_a, &on_a_with_node));
    assert!(allowed(&on_a, &to_b));
    assert!(allowed(&to_b, &on_b));
    assert!(allowed(&on_a, &unassigned), "break before make");
    assert!(allowed(&to_b, &with(json!({ "epoch": 8, "assignment": bound("a", 7) }))), "an aborted handover");

    assert!(!allowed(&on_b, &on_a), "an older decision");
    assert!(!allowed(&unassigned, &object(&spec)), "the epoch is lost");
    assert!(!allowed(&unassigned, &with(json!({ "epoch": 6 }))));
    assert!(!allowed(&on_a, &with(json!({ "epoch": 7, "assignment": bound("b", 7) }))), "one epoch, two pods");
    assert!(!allowed(&object(&spec), &with(json!({ "epoch": 7, "assignment": bound("a", 8) }))));
    assert!(!allowed(&object(&spec), &with(json!({ "handover": bound("a", 8) }))));
}

#[test]
fn an_object_that_cannot_be_read_fails_alone() {
    let good = json!({ "uri": "sim://street", "modelRef": { "name": "starter" }, "fieldOfTheFuture": 1 });
    let bad = json!({ "uri": 5 });
    let list: ObjectList<DeserializeGuard<VideoSource>> = serde_json::from_value(json!({
        "apiVersion": crds::API_VERSION,
        "kind": "VideoSourceList",
        "metadata": {},
        "items": [
            { "metadata": { "name": "good" }, "spec": good },
            { "metadata": { "name": "bad" }, "spec": bad },
        ],
    }))
    .unwrap();
    let read: Vec<bool> = list.items.iter().map(|item| item.0.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn defaults_are_the_documented_ones() {
    let spec: VideoSourceSpec =
        serde_json::from_value(json!({ "uri": "sim://street", "modelRef": { "name": "starter" } })).unwrap();
    assert_eq!(spec, VideoSourceSpec::new("sim://street", "starter"));
    insta::assert_json_snapshot!(spec);
    let defaulted = apply_defaults(&schema("VideoSource"), &object(&serde_json::to_value(&spec).unwrap()));
    assert_eq!(serde_json::from_value::<VideoSourceSpec>(defaulted["spec"].clone()).unwrap(), spec);
}

fn uri() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "rtsp",
        "rtsps",
        "http",
        "https",
        "file",
        "sim",
        "test",
        "udp",
        "rtp",
        "srt",
        "v4l2",
        "whep",
        "encoding=H264",
        "&",
        "passphrase=",
        "payload=96",
        ":5004",
        ":",
        "/",
        "//",
        "://",
        "@",
        "?",
        "#",
        "\\",
        "\n",
        "\t",
        ".",
        "-",
        "a",
        "camera",
        "1",
        "[::1]",
        " ",
        "é",
    ]);
    prop_oneof![
        prop::collection::vec(part.clone(), 1..8).prop_map(|parts| parts.concat()),
        prop::collection::vec(part.clone(), 0..6).prop_map(|parts| format!("rtsp://{}", parts.concat())),
        prop::collection::vec(part.clone(), 0..6).prop_map(|parts| format!("rtp://{}", parts.concat())),
        prop::collection::vec(part, 0..6).prop_map(|parts| format!("srt://{}", parts.concat())),
        "\\PC{1,20}",
    ]
}

fn duration() -> impl Strategy<Value = String> {
    (0_u64..20_000_000).prop_map(|milliseconds| crds::Duration::from_millis(milliseconds).to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rules_and_functions_agree_on_sources(
        uri in uri(),
        login in any::<bool>(),
        fps in prop::option::of(1..60),
        interval in prop::option::of(duration()),
        stall in duration(),
        initial in duration(),
        most in duration(),
    ) {
        let mut spec = json!({
            "uri": uri,
            "modelRef": { "name": "starter" },
            "detection": {},
            "recovery": { "stallTimeout": stall, "initialBackoff": initial, "maxBackoff": most },
        });
        if login {
            spec["credentialsSecretRef"] = json!({ "name": "login" });
        }
        if let Some(fps) = fps {
            spec["detection"]["fps"] = json!(fps);
        }
        if let Some(interval) = interval {
            spec["detection"]["interval"] = json!(interval);
        }
        source_is_accepted(&spec);
    }

    #[test]
    fn rules_and_functions_agree_on_uris(uri in uri()) {
        source_is_accepted(&json!({ "uri": uri, "modelRef": { "name": "starter" } }));
    }

    #[test]
    fn rules_and_functions_agree_on_models(
        url in prop::option::of(uri()),
        file in prop::option::of(uri()),
        builtin in any::<bool>(),
        digest in any::<bool>(),
    ) {
        let mut source = json!({});
        if let Some(url) = url {
            source["url"] = json!(format!("https{}", url.trim_start_matches("https")));
        }
        if let Some(file) = file {
            source["file"] = json!(file);
        }
        if builtin {
            source["builtin"] = json!("starter");
        }
        if digest {
            source["sha256"] = json!("0".repeat(64));
        }
        model_is_accepted(&json!({ "source": source }));
    }
}
