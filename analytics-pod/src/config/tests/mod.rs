//! Layers, files, environment and rules together.

#![allow(clippy::unwrap_used)]

mod chains;
mod mistakes;
mod order;
mod schemas;
mod stored;

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;

/// A folder with these files.
pub(super) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(super) fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Of a file alone.
pub(super) fn read(file: &Path) -> Result<Effective, ConfigErrors> {
    Inputs::new(Some(file.to_owned()), None, Vec::new(), Vec::new()).read()
}

/// Of the environment alone.
pub(super) fn with_environment(pairs: &[(&str, &str)]) -> Result<Effective, ConfigErrors> {
    Inputs::new(None, None, variables(pairs), Vec::new()).read()
}

pub(super) fn flag(flag: &'static str, key: &'static str, value: Value) -> Flag {
    Flag { flag, key, value }
}

#[test]
fn each_layer_stands_before_the_ones_below_and_says_where_it_is() {
    let folder = folder(&[(
        "pod.yaml",
        "extends: production\nlog:\n  # loud\n  level: debug\nrotation: {keep: 3, size: 2MiB}\nlisten: 127.0.0.1:9000\n",
    )]);
    let file = folder.path().join("pod.yaml");
    let flags = vec![flag("--listen", "listen", json!("127.0.0.1:9002"))];
    let environment =
        variables(&[("VISION_LISTEN", "127.0.0.1:9001"), ("VISION_ROTATION_KEEP", "4"), ("VISION_MODEL", "")]);
    let effective = Inputs::new(Some(file.clone()), None, environment, flags).read().unwrap();
    let from = |path: &str| effective.origin(path).unwrap().to_string().replace(&*folder.path().to_string_lossy(), "");
    for (path, value, origin) in [
        ("listen", json!("127.0.0.1:9002"), "--listen"),
        ("rotation.keep", json!(4), "VISION_ROTATION_KEEP"),
        ("rotation.size", json!("2MiB"), "/pod.yaml:5"),
        ("log.level", json!("debug"), "/pod.yaml:4"),
    ] {
        assert_eq!((effective.value(path), from(path).as_str()), (value, origin), "{path}");
    }
    assert!(from("log.format").starts_with("profile production:"), "{}", from("log.format"));
    assert!(from("model").starts_with("profile default:") && effective.is_default("model"));
    assert_eq!(effective.config.listen.port(), 9002);
    assert_eq!((effective.config.rotation.keep, effective.config.rotation.size.get()), (4, 2 << 20));
}

#[test]
fn the_files_of_the_environment_and_of_flags_begin_in_the_working_folder() {
    let folder = folder(&[(
        "pod.yaml",
        "files: [cameras, /etc/cameras]\nstateFolder: state\noutputs: ['file:out.jsonl', stdout]\nmodel: own.onnx\n\
         statistics: {file: ../stats.json}\n",
    )]);
    let config = read(&folder.path().join("pod.yaml")).unwrap().config;
    let at = |name: &str| folder.path().join(name);
    assert_eq!(config.files, [at("cameras"), "/etc/cameras".into()]);
    assert_eq!(config.state_folder, Some(at("state")));
    assert_eq!(config.outputs, [OutputTarget::File(at("out.jsonl")), OutputTarget::Stdout]);
    assert_eq!(config.model, at("own.onnx").to_string_lossy());
    assert_eq!(config.statistics.file, Some(at("../stats.json")));
    let config = with_environment(&[("VISION_FILES", "a, b.yaml"), ("VISION_STATE_FOLDER", "state")]).unwrap().config;
    assert_eq!(config.files, ["a", "b.yaml"].map(std::path::PathBuf::from));
    assert_eq!(config.state_folder, Some("state".into()));
}

#[test]
fn variables_are_read_as_their_keys_are() {
    let effective = with_environment(&[
        ("VISION_DETECTION_CONFIDENCE", "0.4"),
        ("VISION_DETECTION_CLASSES", "person, car"),
        ("VISION_DETECTOR_WORKERS", "3"),
        ("VISION_SOURCES", r#"[{"id": "street", "uri": "sim://street"}]"#),
        ("VISION_LOG_LEVEL", "info"),
        ("RUST_LOG", "debug"),
        ("VISION_LOG_FILE", "007"),
        ("VISION_STATISTICS_INTERVAL", "1m30s"),
    ])
    .unwrap();
    let config = &effective.config;
    assert_eq!(config.detection.confidence, Some(0.4));
    assert_eq!(config.detection.classes, Some(vec!["person".to_owned(), "car".to_owned()]));
    assert_eq!(config.detector.workers.map(std::num::NonZero::get), Some(3));
    assert_eq!(config.sources, [json!({"id": "street", "uri": "sim://street"})]);
    assert_eq!((config.log.level.as_str(), config.log.file.as_deref()), ("info", Some(Path::new("007"))));
    assert_eq!(config.statistics.interval.get().as_secs(), 90);
    let rust_log = with_environment(&[("RUST_LOG", "debug")]).unwrap();
    assert_eq!(rust_log.origin("log.level").unwrap().to_string(), "RUST_LOG");
}

#[test]
fn a_variable_that_sets_nothing_is_told_with_what_was_meant() {
    let effective = with_environment(&[
        ("VISION_LISTN", "127.0.0.1:1"),
        ("VISION_PORT", "9090"),
        // Of the project's scripts, and of a Service that is called vision-operator.
        ("VISION_TEST_KILLS", "200"),
        ("VISION_CONFIG", ""),
        ("VISION_OPERATOR_SERVICE_HOST", "10.0.0.1"),
        ("VISION_OPERATOR_SERVICE_PORT_HTTPS", "443"),
        ("VISION_OPERATOR_PORT", "tcp://10.0.0.1:443"),
        ("VISION_OPERATOR_PORT_443_TCP_ADDR", "10.0.0.1"),
    ])
    .unwrap();
    let told: Vec<&str> = effective.unknown_variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, ["VISION_LISTN", "VISION_PORT"]);
    assert_eq!(effective.unknown_variables[0].1, "did you mean VISION_LISTEN?");
}

#[test]
fn what_is_shown_has_no_query_and_no_login() {
    let folder = folder(&[("pod.yaml", "sources:\n- {id: gate, uri: 'rtsp://camera/main?token=hunter2'}\n")]);
    let shown = Shown::of(&read(&folder.path().join("pod.yaml")).unwrap(), &[]);
    let text = serde_json::to_string(&shown).unwrap() + &table(&shown);
    assert!(text.contains("rtsp://camera/main") && !text.contains("hunter2"), "{text}");
    assert_eq!(shown.settings["sources"].value[0]["id"], "gate");
}

#[test]
fn a_table_has_a_line_for_each_key() {
    let environment = variables(&[("VISION_LISTEN", "127.0.0.1:9001"), ("VISION_DETECTION_CLASSES", "person,car")]);
    let effective = Inputs::new(None, Some("testing".to_owned()), environment, Vec::new()).read().unwrap();
    insta::assert_snapshot!(table(&Shown::of(&effective, &[])));
}
