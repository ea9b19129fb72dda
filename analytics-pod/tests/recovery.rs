//! Whole pods on simulated cameras that change, fail and come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    env,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use analytics_pod::{
    assign::{Causes, DesiredModel, DesiredSource, DesiredState, ModelKey},
    engine::native::{NativeEngine, NativeSettings},
    model::OpenOptions,
    observation::{Observation, SourceKey},
    pod::{Pod, PodSettings},
    sink::ChannelSink,
    source::Pacing,
    telemetry::{StreamState, StreamTelemetry, Telemetry},
};
use camera_simulator::{CameraConfig, Codec, Config, Fault, SceneConfig, Silent, Simulator};
use crds::{DetectionModelSpec, VideoSourceSpec};
use crossbeam_channel::{Receiver, bounded};
use serde_json::Value;

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

fn simulator(cache: &Path, name: &str, port: u16, codec: Codec) -> Simulator {
    let scene = SceneConfig {
        codec,
        width: 320,
        height: 192,
        fps: 10,
        frames: Some(50),
        gop: Some(10),
        ..SceneConfig::default()
    };
    let camera = CameraConfig { port, ..CameraConfig::of_scene(name, scene) };
    let config = Config { cache: Some(cache.to_owned()), ..Config::on_loopback(vec![camera]) };
    tokio::task::block_in_place(|| Simulator::start(&config, &Silent)).unwrap()
}

fn port(uri: &str) -> u16 {
    url::Url::parse(uri).unwrap().port().unwrap()
}

/// A pod that watches one source.
struct Watched {
    pod: Pod,
    telemetry: Arc<StreamTelemetry>,
    observations: Receiver<Observation>,
}

impl Watched {
    fn start(uri: &str, fallbacks: &[String]) -> Self {
        let key = SourceKey::new("default", "camera");
        let spec = VideoSourceSpec { fallback_uris: fallbacks.to_vec(), ..VideoSourceSpec::new(uri, "starter") };
        assert_eq!(spec.violations(), []);
        let parse = |uri: &str| url::Url::parse(uri).unwrap();
        let places = spec.fallback_uris.iter().map(|uri| parse(uri)).collect();
        let source = DesiredSource::resolve(key.clone(), &spec, parse(uri), places, None);
        let model: DetectionModelSpec =
            serde_json::from_value(serde_json::json!({ "source": { "builtin": "starter" } })).unwrap();
        let model = DesiredModel { key: ModelKey::new("default", "starter"), spec: model };
        let desired = DesiredState {
            sources: [(key.clone(), Arc::new(source))].into(),
            models: [(model.key.clone(), Arc::new(model))].into(),
            ..DesiredState::default()
        };
        let telemetry = Arc::new(Telemetry::default());
        let (sender, observations) = bounded(10_000);
        let mut pod = Pod::start(PodSettings {
            engine: Arc::new(NativeEngine::new(NativeSettings::default()).unwrap()),
            sinks: vec![Box::new(ChannelSink::new("test", sender))],
            pacing: Pacing::Live,
            tap: None,
            telemetry: Arc::clone(&telemetry),
            models: OpenOptions::default(),
            prepare: None,
        })
        .unwrap();
        pod.apply(desired, &Causes::default());
        let telemetry = telemetry.source(&key).unwrap();
        Self { pod, telemetry, observations }
    }

    /// Waits for an observation that has what is asked.
    async fn until(&self, what: &str, accept: impl Fn(&Observation) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.observations.try_recv() {
                Ok(observation) if accept(&observation) => return,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            let (state, failure) = (self.telemetry.state(), self.telemetry.last_failure());
            assert!(Instant::now() < deadline, "never: {what}; {state:?}, {failure:?}");
        }
    }

    /// Forgets what was published so far.
    fn forget(&self) {
        while self.observations.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_changes_its_size_without_a_new_connection() {
    let cache = tempfile::tempdir().unwrap();
    for codec in [Codec::H264, Codec::H265] {
        let cameras = simulator(cache.path(), "camera", 0, codec);
        let watched = Watched::start(&cameras.uri("camera").unwrap(), &[]);
        watched.until("the first size", |frame| (frame.width, frame.height) == (320, 192)).await;
        cameras.misbehave("camera", Fault::Resolution { width: 480, height: 270 }).unwrap();
        watched.until("the other size", |frame| (frame.width, frame.height) == (480, 270)).await;
        let format = watched.telemetry.format().unwrap();
        assert_eq!((format.width, format.height), (480, 270));
        cameras.heal("camera").unwrap();
        watched.until("the first size again", |frame| (frame.width, frame.height) == (320, 192)).await;
        assert_eq!((watched.telemetry.attempts(), watched.telemetry.state()), (1, StreamState::Streaming));
        watched.pod.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_comes_back_with_another_codec() {
    let cache = tempfile::tempdir().unwrap();
    let cameras = simulator(cache.path(), "camera", 0, Codec::H264);
    let uri = cameras.uri("camera").unwrap();
    let watched = Watched::start(&uri, &[]);
    watched.until("a frame", |_| true).await;
    assert_eq!(&*watched.telemetry.format().unwrap().codec, "H.264");
    drop(cameras);
    let _cameras = simulator(cache.path(), "camera", port(&uri), Codec::H265);
    watched.forget();
    watched.until("a frame of the other codec", |_| &*watched.telemetry.format().unwrap().codec == "H.265").await;
    watched.pod.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_takes_over_and_gives_back() {
    let cache = tempfile::tempdir().unwrap();
    let main = simulator(cache.path(), "main", 0, Codec::H264);
    let recorder = simulator(cache.path(), "recorder", 0, Codec::H265);
    let watched = Watched::start(&main.uri("main").unwrap(), &[recorder.uri("recorder").unwrap()]);
    watched.until("a frame of the camera", |_| watched.telemetry.uri_index() == 0).await;
    main.misbehave("main", Fault::Die).unwrap();
    watched.until("a frame of the recorder", |_| &*watched.telemetry.format().unwrap().codec == "H.265").await;
    assert_eq!((watched.telemetry.uri_index(), watched.telemetry.state()), (1, StreamState::Streaming));
    main.heal("main").unwrap();
    recorder.misbehave("recorder", Fault::Die).unwrap();
    watched.until("a frame of the camera again", |_| &*watched.telemetry.format().unwrap().codec == "H.264").await;
    assert_eq!(watched.telemetry.uri_index(), 0);
    watched.pod.shut_down().await;
}

/// `run --chaos`, each fault once: seen in time, named as it should be, overcome. `VISION_TEST_CHAOS_FAULTS=160` is the
/// long form, each fault 20 times.
#[test]
fn every_fault_is_seen_named_and_overcome() {
    let pod = Path::new(env!("CARGO_BIN_EXE_analytics-pod"));
    if !pod.with_file_name("camera-simulator").exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "camera-simulator"]).status().unwrap();
        assert!(built.success());
    }
    let faults = env::var("VISION_TEST_CHAOS_FAULTS").unwrap_or_else(|_| "8".to_owned());
    let run = Command::new(pod)
        .args(["run", "--chaos", "4", "--chaos-faults", &faults, "--chaos-report", "json"])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&run.stderr);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{log}"));
    assert!(run.status.success(), "{report:#}\n{log}");
    let outcomes = report["faults"].as_array().unwrap();
    assert_eq!(outcomes.len().to_string(), faults);
    for outcome in outcomes {
        assert!(outcome["namedMs"].is_u64(), "{outcome:#}\n{log}");
        // Generous: the machine may be busy. The report has the figures.
        assert!(outcome["seenMs"].as_u64().unwrap() < 12_000, "{outcome:#}");
        assert!(outcome["recoveredMs"].as_u64().unwrap() < 20_000, "{outcome:#}");
    }
}
