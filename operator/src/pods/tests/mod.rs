//! The objects as they are applied, and when they change.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use crds::{DetectionModel, DetectionModelSpec};
use serde_json::{Value, json};

use super::{Companions, Media, Settings, TEMPLATE_HASH_LABEL, Template, model_label, validate};

fn model(name: &str, change: &Value) -> DetectionModel {
    let mut spec = json!({ "source": { "builtin": "starter" } });
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let spec: DetectionModelSpec = serde_json::from_value(spec).unwrap();
    let mut model = DetectionModel::new(name, spec);
    model.metadata.namespace = Some("yard".to_owned());
    model.metadata.uid = Some("7c2b0a52-9f0e-4c3c-8a57-000000000001".to_owned());
    model
}

fn settings() -> Settings {
    Settings {
        native_image: "vision-operator/analytics-pod:0.1.0".to_owned(),
        deepstream_image: None,
        image_pull_policy: None,
        cache_size: "8Gi".to_owned(),
        media: None,
        gate_evictions: true,
    }
}

fn template(model: &DetectionModel, settings: &Settings) -> Template {
    Template::new(&validate(model, settings).unwrap(), settings)
}

/// Everything that serving can say.
fn everything() -> Value {
    json!({
        "device": "GPU",
        "serving": {
            "engine": "DeepStream",
            "resources": { "limits": { "memory": "8Gi" }, "requests": { "cpu": 4, "memory": "8Gi" } },
            "gpu": {
                "count": 1,
                "resourceName": "nvidia.com/mig-1g.10gb",
                "resourceClaims": [{ "name": "decoder", "resourceClaimTemplateName": "one-decoder" }],
            },
            "runtimeClassName": "nvidia",
            "nodeSelector": { "pool": "gpu" },
            "tolerations": [{ "key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule" }],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "gpu", "operator": "In", "values": ["h100"] }] }],
            } } },
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            }],
            "priorityClassName": "vision",
            "image": "registry.example/analytics-pod:custom",
            "imagePullSecrets": [{ "name": "registry-login" }],
            "podTemplate": {
                "labels": { "team": "yard", "app.kubernetes.io/name": "mine" },
                "annotations": { "example.com/note": "kept" },
            },
        },
    })
}

#[test]
fn the_plain_pod() {
    let model = model("people", &json!({}));
    insta::assert_yaml_snapshot!(template(&model, &settings()).pod("people-mkq5s8w0"));
}

#[test]
fn the_pod_with_everything() {
    let model = model("people", &everything());
    let settings = Settings {
        image_pull_policy: Some("IfNotPresent".to_owned()),
        media: Some(Media { claim: "clips".to_owned(), path: "/media".to_owned() }),
        ..settings()
    };
    insta::assert_yaml_snapshot!(template(&model, &settings).pod("people-mkq5s8w0"));
}

#[test]
fn the_companions() {
    let (model, settings) = (model("people", &json!({})), settings());
    let secrets = BTreeSet::from(["gate-login".to_owned(), "yard-login".to_owned()]);
    let Companions { service_account, role, role_binding, disruption_budget } =
        Companions::new(&validate(&model, &settings).unwrap(), &settings, &secrets);
    insta::assert_yaml_snapshot!((service_account, role, role_binding, disruption_budget));
}

#[test]
fn without_secrets_there_is_no_rule_for_them() {
    let (model, settings) = (model("people", &json!({})), Settings { gate_evictions: false, ..settings() });
    let companions = Companions::new(&validate(&model, &settings).unwrap(), &settings, &BTreeSet::new());
    let rules = companions.role.rules.unwrap();
    assert!(rules.iter().all(|rule| rule.resources.as_ref().unwrap() != &["secrets"]));
    assert_eq!(companions.disruption_budget, None);
}

#[test]
fn the_hash_follows_what_pods_are_made_from_and_nothing_else() {
    let settings = settings();
    let hash = |change: Value| template(&model("people", &change), &settings).hash().to_owned();
    let plain = hash(json!({}));
    for same in [
        json!({ "serving": { "minPods": 2, "maxPods": 4, "replicas": 3 } }),
        json!({ "serving": { "capacity": { "streams": 3 } } }),
        json!({ "serving": { "scaleDown": { "stabilization": "1s" }, "rebalance": { "enabled": false } } }),
        json!({ "thresholds": { "confidence": 0.5 } }),
        json!({ "source": { "builtin": "other" } }),
    ] {
        assert_eq!(hash(same.clone()), plain, "{same}: pods take it in place");
    }
    for other in [
        json!({ "serving": { "image": "a" } }),
        json!({ "device": "GPU" }),
        json!({ "serving": { "podTemplate": { "labels": { "a": "b" } } } }),
        json!({ "serving": { "resources": { "limits": { "cpu": "2" } } } }),
    ] {
        assert_ne!(hash(other.clone()), plain, "{other}");
    }
    let pod = template(&model("people", &json!({})), &settings).pod("a");
    assert_eq!(pod.metadata.labels.unwrap()[TEMPLATE_HASH_LABEL], plain);
}

#[test]
fn a_gpu_comes_with_the_device() {
    let settings = settings();
    let limits = |change: Value| {
        let pod = template(&model("people", &change), &settings).pod("a");
        pod.spec.unwrap().containers.remove(0).resources.unwrap().limits.unwrap_or_default()
    };
    assert_eq!(limits(json!({})).len(), 0);
    assert_eq!(limits(json!({ "device": "GPU" }))["nvidia.com/gpu"].0, "1");
    assert_eq!(limits(json!({ "serving": { "gpu": { "count": 2 } } }))["nvidia.com/gpu"].0, "2");
}

#[test]
fn what_cannot_be_served_is_refused_with_the_remedy() {
    let media = Some(Media { claim: "clips".to_owned(), path: "/media".to_owned() });
    let with_media = Settings { media, ..settings() };
    let cases = [
        (json!({ "serving": { "engine": "DeepStream" } }), settings(), "ImageNotConfigured"),
        (json!({ "source": { "file": "/models/a.onnx" } }), settings(), "FileNotAllowed"),
        (json!({ "source": { "file": "/media/../etc/passwd" } }), with_media.clone(), "FileNotAllowed"),
        (json!({ "source": { "file": "/mediator/a.onnx" } }), with_media.clone(), "FileNotAllowed"),
        (json!({ "serving": { "minPods": 9 } }), settings(), "InvalidSpec"),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(change, settings, reason)| {
            let refused = validate(&model("people", change), settings).unwrap_err();
            assert_eq!(refused.reason(), *reason, "{change}");
            refused.to_string()
        })
        .collect();
    insta::assert_yaml_snapshot!(told);
    assert!(validate(&model("people", &json!({ "source": { "file": "/media/a.onnx" } })), &with_media).is_ok());
}

#[test]
fn long_names_stay_apart_and_within_bounds() {
    let (a, b) = (format!("{}a", "m".repeat(252)), format!("{}b", "m".repeat(252)));
    assert_ne!(model_label(&a), model_label(&b));
    let settings = settings();
    for name in [a, b] {
        let model = model(&name, &json!({}));
        let companions = Companions::new(&validate(&model, &settings).unwrap(), &settings, &BTreeSet::new());
        assert!(model_label(&name).len() <= 63);
        assert!(companions.role.metadata.name.unwrap().len() <= 63);
    }
}
