//! Manifests without mistakes: what becomes of them.

use std::{path::PathBuf, sync::Arc};

use crds::{DetectionModelSpec, ModelSource};

use super::{MODEL, camera, errors, folder, load, names, source};
use crate::{
    assign::{
        ChangedParts, DesiredModel, DesiredSource, DesiredState, DetectionRequest, Loaded, Loader, ModelKey, from_uris,
    },
    model::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec, Layout, ModelInfo, Thresholds},
    observation::SourceKey,
    source::printable_uri,
};

fn only(loaded: &Loaded) -> &DesiredSource {
    assert_eq!(loaded.errors, [], "{:?}", loaded.errors);
    loaded.state.sources.values().next().unwrap()
}

#[test]
fn everything_written_is_resolved() {
    let text = format!(
        "{MODEL}---\n{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\ntype: kubernetes.io/basic-auth\n\
         data: {{username: YWRtaW4=}}\nstringData: {{password: hunter2}}\n",
        source(
            "gate",
            "  uri: rtsp://camera:8554/gate?profile=1
  fallbackURIs: [\"rtsp://camera:8554/gate?profile=2\", \"file:clip.mp4\"]
  credentialsSecretRef: {name: login}
  transport: {protocol: TCP, latency: 200ms, dropOnLatency: true, insecureSkipTLSVerify: true}
  loop: true
  detection: {interval: 2s, confidence: 0.25, iou: 0.5, classes: [person], maxObjects: 7}
  tracking: {enabled: false}
  recovery: {stallTimeout: 3s, initialBackoff: 1s, maxBackoff: 1m30s, maxAttempts: 4}
  maxConnections: 1
"
        )
    );
    let folder = folder(&[("all.yaml", &text)]);
    let loaded = load(folder.path());
    let gate = only(&loaded);
    assert_eq!(gate.input.credentials.as_ref().unwrap().username, "admin");
    assert_eq!(gate.input.credentials.as_ref().unwrap().password, "hunter2");
    let places: Vec<String> = gate.alternatives().inputs.iter().map(|input| printable_uri(&input.uri)).collect();
    let clip = url::Url::from_file_path(folder.path().join("clip.mp4")).unwrap().to_string();
    assert_eq!(places, ["rtsp://camera:8554/gate", "rtsp://camera:8554/gate", &clip]);
    assert!(!gate.alternatives().ask_first, "the camera takes one connection only");
    let gate = DesiredSource { fallbacks: gate.fallbacks[..1].to_vec(), ..gate.clone() };
    insta::assert_debug_snapshot!(gate);
}

#[test]
fn what_is_not_written_has_its_default() {
    let folder = folder(&[("all.yaml", &format!("{MODEL}---\n{}", camera("north")))]);
    let loaded = load(folder.path());
    insta::assert_debug_snapshot!(only(&loaded));
}

#[test]
fn paths_begin_at_the_manifest() {
    let model = MODEL.replace("builtin: starter", "file: models/own.onnx");
    let clip = source("clip", "  uri: file:clips/my%20street.mp4\n");
    let folder = folder(&[("all.yaml", &format!("{model}---\n{clip}"))]);
    let loaded = load(&folder.path().join("all.yaml"));
    let expected: PathBuf = folder.path().join("clips/my street.mp4");
    assert_eq!(only(&loaded).input.uri.to_file_path().unwrap(), expected);
    let model = &loaded.state.models[&ModelKey::new("default", "starter")];
    assert_eq!(model.spec.source.file.as_deref(), folder.path().join("models/own.onnx").to_str());
}

#[test]
fn disabled_sources_are_apart() {
    let text = format!("{MODEL}---\n{}", source("idle", "  uri: sim://street\n  enabled: false\n"));
    let folder = folder(&[("all.yaml", &text)]);
    let loaded = load(folder.path());
    assert_eq!((names(&loaded), loaded.errors.len()), (vec![], 0));
    assert!(loaded.state.disabled.contains(&SourceKey::new("default", "idle")));
}

#[test]
fn what_kubectl_prints_is_read() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"apiVersion": "vision-operator.dev/v1alpha1", "kind": "DetectionModel",
         "metadata": {"name": "starter", "namespace": "site", "uid": "1", "generation": 2, "managedFields": [{}]},
         "spec": {"source": {"builtin": "starter"}}},
        {"apiVersion": "vision-operator.dev/v1alpha1", "kind": "VideoSource",
         "metadata": {"name": "a", "namespace": "site"},
         "spec": {"uri": "test://smpte", "modelRef": {"name": "starter"}, "transport": null},
         "status": {"epoch": 5}}]}"#;
    let folder = folder(&[("list.json", text)]);
    let loaded = load(folder.path());
    assert_eq!(only(&loaded).key, SourceKey::new("site", "a"));
    assert_eq!(only(&loaded).model, ModelKey::new("site", "starter"));
}

#[test]
fn references_stay_in_the_namespace() {
    let elsewhere = MODEL.replace("{name: starter}", "{name: starter, namespace: site}");
    let folder = folder(&[("all.yaml", &format!("{elsewhere}---\n{}", camera("a")))]);
    let loaded = load(folder.path());
    assert_eq!(names(&loaded), [""; 0]);
    assert!(
        errors(&loaded, folder.path()).contains("DetectionModel site/starter is in another"),
        "{:?}",
        loaded.errors
    );
}

#[test]
fn folders_are_read_in_order_and_files_once() {
    let folder = folder(&[
        ("2.yml", &camera("b")),
        ("1.yaml", MODEL),
        ("3.json", r#"{"kind": "VideoSource"}"#),
        (".hidden.yaml", "kind: Nonsense"),
        ("notes.txt", "kind: Nonsense"),
    ]);
    std::fs::create_dir(folder.path().join("sub.yaml")).unwrap();
    let paths =
        vec![folder.path().to_owned(), folder.path().join("2.yml"), folder.path().join("../").join(folder.path())];
    let loaded = Loader::new(paths).load();
    assert_eq!(names(&loaded), ["b"]);
    assert_eq!(loaded.errors.len(), 1, "{:?}", loaded.errors);
    assert!(loaded.errors[0].file.ends_with("3.json"));
}

/// The state of some manifests.
fn state(text: &str) -> DesiredState {
    let folder = folder(&[("all.yaml", text)]);
    let loaded = load(folder.path());
    assert_eq!(loaded.errors, []);
    loaded.state
}

#[test]
fn a_change_says_which_parts_changed() {
    let with = |spec: &str| state(&format!("{MODEL}---\n{}", source("a", spec)));
    let base = with("  uri: sim://street\n");
    let parts = |new: &DesiredState| {
        let changes = new.changes_from(&base);
        assert_eq!((changes.added.len(), changes.removed.len(), changes.changed.len()), (0, 0, 1));
        changes.changed[0].parts
    };
    let none = ChangedParts::default();
    assert_eq!(parts(&with("  uri: sim://street?seed=2\n")), ChangedParts { connection: true, ..none });
    assert_eq!(
        parts(&with("  uri: sim://street\n  transport: {latency: 1s}\n")),
        ChangedParts { connection: true, ..none }
    );
    assert_eq!(parts(&with("  uri: sim://street\n  detection: {fps: 5}\n")), ChangedParts { detection: true, ..none });
    assert_eq!(
        parts(&with("  uri: sim://street\n  tracking: {enabled: false}\n")),
        ChangedParts { tracking: true, ..none }
    );
    assert_eq!(
        parts(&with("  uri: sim://street\n  recovery: {maxAttempts: 1}\n")),
        ChangedParts { recovery: true, ..none }
    );
    let model = MODEL.replace("source:", "maxObjects: 5\n  source:");
    let changed_model = state(&format!("{model}---\n{}", source("a", "  uri: sim://street\n")));
    assert_eq!(parts(&changed_model), ChangedParts { model: true, ..none });
    assert!(base.changes_from(&base).is_empty());
}

#[test]
fn sources_come_and_go() {
    let old = state(&format!("{MODEL}---\n{}---\n{}", camera("a"), camera("b")));
    let new = state(&format!("{MODEL}---\n{}---\n{}", camera("b"), camera("c")));
    let changes = new.changes_from(&old);
    assert_eq!(changes.removed, [SourceKey::new("default", "a")]);
    assert_eq!(changes.added.iter().map(|source| &*source.key.name).collect::<Vec<_>>(), ["c"]);
    assert_eq!(changes.changed, []);
}

fn model_info() -> ModelInfo {
    ModelInfo {
        name: "starter".into(),
        digest: "sha256:0".into(),
        opset: 17,
        labels: ["person", "car", "truck"].into_iter().map(Arc::from).collect(),
        labels_from: "the file".to_owned(),
        layout: Layout::YoloV8,
        input: InputSpec {
            width: 320,
            height: 320,
            element_type: ElementType::F32,
            channel_order: ChannelOrder::Nchw,
            color_order: ColorOrder::Rgb,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            fit: Fit::Stretch,
            padding: 114,
            max_batch: 1,
        },
        tensors: Vec::new(),
        thresholds: Thresholds {
            confidence: 0.3,
            iou: 0.6,
            per_class: [].into(),
            class_agnostic: false,
            max_objects: 100,
        },
    }
}

#[test]
fn classes_become_indices_once_the_model_is_known() {
    let request = |classes: &[&str]| DetectionRequest {
        classes: Some(classes.iter().map(ToString::to_string).collect()),
        max_objects: Some(5),
        ..DetectionRequest::default()
    };
    let settings = request(&["truck", "person"]).settings(&model_info()).unwrap();
    assert_eq!(settings.classes.as_deref(), Some([2, 0].as_slice()));
    assert_eq!(settings.max_objects, 5);
    let settings = DetectionRequest::default().settings(&model_info()).unwrap();
    assert_eq!((settings.classes, settings.max_objects), (None, 100), "the model's own");
    let error = request(&["persn"]).settings(&model_info()).unwrap_err();
    assert_eq!(error.to_string(), "model starter has no class \"persn\"; did you mean person?");
    let error = request(&["bicycle"]).settings(&model_info()).unwrap_err();
    assert_eq!(error.to_string(), "model starter has no class \"bicycle\"; known here: person, car, truck");
}

#[test]
fn uris_on_the_command_line() {
    let model = DesiredModel {
        key: ModelKey::new("default", "starter"),
        spec: DetectionModelSpec::new(ModelSource { builtin: Some("starter".to_owned()), ..ModelSource::default() }),
    };
    let uris = [
        "sim://street?seed=1",
        "sim://street?seed=2",
        "clips/My Street.mp4",
        "file:other.mp4",
        "rtsp://127.0.0.1:18554/north",
        "rtsp://admin:hunter2@camera/live",
        "rtps://camera/live",
    ];
    let loaded = from_uris(&uris.map(str::to_owned), model, std::path::Path::new("/videos"));
    assert_eq!(names(&loaded), ["127-0-0-1-18554-north", "my-street", "other", "street", "street-2"]);
    let clip = &loaded.state.sources[&SourceKey::new("default", "my-street")];
    assert_eq!(clip.input.uri.as_str(), "file:///videos/clips/My%20Street.mp4");
    let text = errors(&loaded, std::path::Path::new("/"));
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text);
}
