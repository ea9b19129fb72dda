//! The stand-in for DeepStream as a version of it is installed, and engines that play clips. GStreamer and the stand-in
//! decide once a process which version there is, so each version is played in a process of its own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use analytics_pod::{
    engine::{
        Attempt, AttemptEnd, AttemptEvent, DetectionSettings, Engine, InferredFrame,
        deepstream::{DeepStreamEngine, DeepStreamSettings},
    },
    model::{Model, ModelSource, ModelSpec, ONNXRUNTIME_VERSION, OpenOptions},
    observation::{SourceKey, StreamIdentity},
    source::{Input, Pacing, Transport},
    telemetry::{DropReason, StreamTelemetry},
};
use arc_swap::ArcSwap;
use camera_simulator::{CameraConfig, Config, Container, SceneConfig, Silent, export};
use crossbeam_channel::{Receiver, unbounded};
use deepstream::installation::Installation;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Of pictures: twice the starter model's input, so that they fill it. nvinfer pads with black and the native engine with
/// the grey that models are trained with, which nobody can choose.
pub(crate) const SIZE: (u32, u32) = (832, 512);

/// Where a child finds the installation that it plays.
const ROOT: &str = "VISION_TEST_DEEPSTREAM";

/// Every version that the stand-in plays, one or more for each layout.
pub(crate) const VERSIONS: [&str; 13] =
    ["5.0-DP", "5.0", "5.1", "6.0", "6.1", "6.2", "6.3", "6.4", "7.0", "7.1", "8.0", "9.0", "9.1"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Builds the parser library for DeepStream up to 8 (`8`) or from 9 on (`9`).
pub(crate) fn build_parsers(path: &Path, generation: &str) {
    let script = repository().join("analytics-pod/deepstream/parsers/build.sh");
    let built = Command::new(script).args([path.as_os_str(), generation.as_ref()]).status().unwrap();
    assert!(built.success());
}

/// Runs the test `name` of this program in a process of its own for `version`; its output is told where it fails.
pub(crate) fn in_a_process(name: &str, version: &str, more: &[(&str, &str)]) {
    let root = tempfile::tempdir().unwrap();
    let installed = Command::new(repository().join("e2e/deepstream-standin/install.sh"))
        .args([root.path().as_os_str(), version.as_ref()])
        .output()
        .unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let parsers = root.path().join("libvision-parsers.so");
    let generation = if version.starts_with('9') { "9" } else { "8" };
    build_parsers(&parsers, generation);
    // The stand-in looks where it is told, the pod also where scripts/onnxruntime.sh puts it.
    let runtime = format!(".cache/onnxruntime/{ONNXRUNTIME_VERSION}/libonnxruntime.so.{ONNXRUNTIME_VERSION}");
    let runtime = env::var_os("VISION_ONNXRUNTIME").unwrap_or_else(|| repository().join(runtime).into_os_string());
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(ROOT, root.path())
        // Cargo puts its own folder there, where libraries of the stand-in may lie.
        .env_remove("LD_LIBRARY_PATH")
        .env("VISION_ONNXRUNTIME", runtime)
        .env("GST_REGISTRY", root.path().join("registry.bin"))
        .envs(more.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let hung = child.try_wait().unwrap().is_none();
    if hung {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !hung, "{name} with {version} (hung: {hung}): {said}");
    assert!(said.contains("1 passed"), "{name} is a test of this program: {said}");
    for measured in said.lines().filter(|line| line.starts_with("measured: ")) {
        println!("{version}: {measured}");
    }
}

/// The folder that this process plays; `None` where it is not a child.
pub(crate) fn root() -> Option<PathBuf> {
    env::var_os(ROOT).map(PathBuf::from)
}

pub(crate) fn installation(root: &Path) -> Installation {
    Installation::look(root.to_owned(), vec!["NVIDIA Stand-in".to_owned()]).unwrap()
}

pub(crate) fn settings(root: &Path) -> DeepStreamSettings {
    DeepStreamSettings {
        capacity: 4,
        size: SIZE,
        parsers: root.join("libvision-parsers.so"),
        ..DeepStreamSettings::new(root.join("cache"))
    }
}

pub(crate) fn engine(root: &Path) -> DeepStreamEngine {
    DeepStreamEngine::new(&installation(root), settings(root)).unwrap()
}

pub(crate) fn starter() -> Arc<Model> {
    let spec = ModelSpec::new("starter", ModelSource::Builtin("starter".to_owned()));
    Model::open(&spec, &OpenOptions::default()).unwrap()
}

/// A clip of a street, with B-frames and key frames in it.
pub(crate) fn clip(folder: &Path, frames: u32, seed: u64) -> PathBuf {
    let scene = SceneConfig {
        width: SIZE.0,
        height: SIZE.1,
        fps: 15,
        frames: Some(frames),
        gop: Some(15),
        seed,
        ..SceneConfig::default()
    };
    let camera = CameraConfig::of_scene(format!("street-{seed}"), scene);
    let config = Config { cache: Some(folder.join("clips")), ..Config::on_loopback(vec![camera]) };
    export(&config, folder, Container::Mp4, &Silent).unwrap().remove(0)
}

pub(crate) fn input(path: &Path, repeat: bool) -> Input {
    Input {
        uri: url::Url::from_file_path(path.canonicalize().unwrap()).unwrap(),
        credentials: None,
        transport: Transport::default(),
        capture: None,
        repeat,
    }
}

/// An attempt under way.
pub(crate) struct Playing {
    pub(crate) frames: Receiver<InferredFrame>,
    pub(crate) events: UnboundedReceiver<AttemptEvent>,
    pub(crate) telemetry: Arc<StreamTelemetry>,
    pub(crate) handle: Box<dyn analytics_pod::engine::RunningAttempt>,
}

impl Playing {
    pub(crate) fn start(engine: &dyn Engine, name: &str, input: Input, pacing: Pacing, model: &Arc<Model>) -> Self {
        let (sender, frames) = unbounded();
        let (events_sender, events) = unbounded_channel();
        let telemetry = Arc::new(StreamTelemetry::default());
        let identity = StreamIdentity { key: SourceKey::new("default", name), epoch: 1, session: 1 };
        let handle = engine.start(Attempt {
            stream: Arc::new(identity),
            input,
            pacing,
            detection: Arc::new(ArcSwap::from_pointee(DetectionSettings::default())),
            model: Arc::new(ArcSwap::new(Arc::clone(model))),
            telemetry: Arc::clone(&telemetry),
            events: events_sender,
            frames: sender,
            tap: None,
        });
        Self { frames, events, telemetry, handle }
    }

    /// Everything to the end, and how it ended.
    pub(crate) fn finish(mut self) -> (Vec<InferredFrame>, AttemptEnd, Arc<StreamTelemetry>) {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        let end = loop {
            frames.extend(self.frames.try_iter());
            match self.events.try_recv() {
                Ok(AttemptEvent::Finished(end)) => break end,
                Ok(AttemptEvent::Streaming) => {}
                Err(_) => {
                    assert!(Instant::now() < deadline, "no end in sight after {} frames", frames.len());
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        frames.extend(self.frames.try_iter());
        (frames, end, self.telemetry)
    }

    /// As [`Self::finish`], for a source that would play on.
    pub(crate) fn stop(mut self) -> (Vec<InferredFrame>, AttemptEnd, Arc<StreamTelemetry>) {
        self.handle.stop();
        self.finish()
    }

    /// The next frame.
    pub(crate) fn next(&self) -> InferredFrame {
        self.frames.recv_timeout(PATIENCE).unwrap()
    }
}

pub(crate) fn drops(telemetry: &StreamTelemetry) -> u64 {
    DropReason::ALL.into_iter().map(|reason| telemetry.dropped(reason)).sum()
}
