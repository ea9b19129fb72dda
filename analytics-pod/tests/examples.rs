//! Every example of `configs/examples`, run as it stands on simulated cameras in place of its addresses.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod pod_process;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use analytics_pod::source::Reason;
use camera_simulator::{CameraConfig, Config, Login, LoginMethod, SceneConfig, Silent, Simulator};
use pod_process::PodProcess;
use serde_json::Value;

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

/// In place of what no camera of the example plays.
const NOBODY: &str = "rtsp://127.0.0.1:9/";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/examples")
}

/// The example's files with cameras that are there.
struct Example {
    folder: tempfile::TempDir,
    sources: Vec<String>,
    _cameras: Simulator,
}

impl Example {
    fn prepare(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
        for entry in fs::read_dir(examples().join(name)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                texts.insert(folder.path().join(path.file_name().unwrap()), fs::read_to_string(path).unwrap());
            }
        }
        let documents: Vec<Value> = texts.values().flat_map(|text| serde_yaml::from_multiple(text).unwrap()).collect();
        let of_kind =
            |kind: &str| documents.iter().filter(move |document| document["kind"] == kind).collect::<Vec<_>>();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let logins: BTreeMap<String, Login> = of_kind("Secret")
            .into_iter()
            .map(|secret| {
                let [username, password] = ["username", "password"].map(|key| text(&secret["stringData"][key]));
                (text(&secret["metadata"]["name"]), Login { username, password, method: LoginMethod::Digest })
            })
            .collect();
        let sources = of_kind("VideoSource");
        let camera = |source: &&Value| {
            let scene = SceneConfig { width: 320, height: 192, fps: 10, frames: Some(50), ..SceneConfig::default() };
            let login = source["spec"]["credentialsSecretRef"]["name"].as_str().map(|name| logins[name].clone());
            CameraConfig { login, ..CameraConfig::of_scene(text(&source["metadata"]["name"]), scene) }
        };
        let config = Config {
            cache: Some(folder.path().join("cache")),
            ..Config::on_loopback(sources.iter().map(camera).collect())
        };
        let cameras = Simulator::start(&config, &Silent).unwrap();
        for (path, mut text) in texts {
            for source in &sources {
                let here = cameras.uri(source["metadata"]["name"].as_str().unwrap()).unwrap();
                text = text.replace(source["spec"]["uri"].as_str().unwrap(), &here);
            }
            fs::write(path, text.replace("rtsp://192.0.2.", NOBODY)).unwrap();
        }
        let sources = sources.iter().map(|source| text(&source["metadata"]["name"])).collect();
        Self { folder, sources, _cameras: cameras }
    }

    /// Runs it until every source has been looked at.
    fn run(&self) {
        let path = self.folder.path().to_str().unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_analytics-pod"))
            .args(["check", "-f", path, "--connect"])
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        let state = tempfile::tempdir().unwrap();
        let pod = PodProcess::start(state.path(), &["-f", path]);
        let deadline = Instant::now() + PATIENCE;
        for name in &self.sources {
            loop {
                let status = pod.get(&format!("/api/v1/sources/{name}"))["status"].clone();
                if status["state"] == "Streaming" && status["frames"]["processed"].as_u64() >= Some(1) {
                    break;
                }
                assert!(Instant::now() < deadline, "{name}: {status:#}\n{}", pod.log());
                thread::sleep(Duration::from_millis(50));
            }
        }
        pod.end();
    }
}

#[test]
fn one_camera() {
    Example::prepare("one-camera").run();
}

#[test]
fn many_cameras() {
    let example = Example::prepare("many-cameras");
    assert_eq!(example.sources.len(), 6);
    example.run();
}

#[test]
fn own_model() {
    let example = Example::prepare("own-model");
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starter/starter.onnx");
    fs::copy(starter, example.folder.path().join("model.onnx")).unwrap();
    example.run();
}

#[test]
fn slow_machine() {
    Example::prepare("slow-machine").run();
}

#[test]
fn monitoring() {
    let folder = examples().join("monitoring");
    let rules = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let parsed: Value = serde_yaml::from_str(&rules).unwrap();
    let rules: Vec<_> =
        parsed["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 5);
    let scraped: Value = serde_yaml::from_str(&fs::read_to_string(folder.join("prometheus.yml")).unwrap()).unwrap();
    assert_eq!(scraped["rule_files"][0], "alerts.yml");

    let state = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(state.path(), &["-f", folder.join("cameras").to_str().unwrap()]);
    let deadline = Instant::now() + PATIENCE;
    let metrics = loop {
        let metrics = pod.text("/metrics");
        let has = |start: &str| metrics.lines().any(|line| line.starts_with(start) && !line.ends_with(" 0"));
        if has("vision_pod_frames_processed_total{") && has("vision_pod_source_failures_total{") {
            break metrics;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        thread::sleep(Duration::from_millis(50));
    };
    // What a rule asks for is there, with the labels that it picks by and tells.
    let asked = regex::Regex::new(r#"(vision_pod_\w+)(?:\{(\w+)="(\w+)"\})?"#).unwrap();
    for rule in rules {
        for found in asked.captures_iter(rule["expr"].as_str().unwrap()) {
            let series: Vec<_> = metrics.lines().filter(|line| line.starts_with(&format!("{}{{", &found[1]))).collect();
            assert!(!series.is_empty(), "{}: {}", rule["alert"], &found[1]);
            if let (Some(label), Some(value)) = (found.get(2), found.get(3)) {
                let (label, value) = (label.as_str(), value.as_str());
                // A reason has its series once it has been one.
                let is_known = Reason::AuthenticationFailed.as_str() == value
                    || series.iter().any(|line| line.contains(&format!("{label}=\"{value}\"")));
                assert!(is_known && series[0].contains(&format!("{label}=\"")), "{}: {label}={value}", rule["alert"]);
            }
        }
    }
    pod.end();
}

/// So that none is forgotten here or in their table.
#[test]
fn every_example_is_told_of_and_run() {
    let readme = fs::read_to_string(examples().join("README.md")).unwrap();
    let program = include_str!("examples.rs");
    for entry in fs::read_dir(examples()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(readme.contains(&format!("[{name}]({name})")), "{name} is not in the README");
            assert!(program.contains(&format!("fn {}()", name.replace('-', "_"))), "{name} is not run");
        }
    }
}
