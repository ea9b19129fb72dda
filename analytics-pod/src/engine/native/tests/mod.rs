//! The engine end to end: real decoders, a detector of chosen cost in the model's place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp)]

use std::{
    collections::VecDeque,
    num::NonZero,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, bounded, unbounded};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    detector::{Detector, DetectorSession},
    *,
};
use crate::{
    engine::{DetectionSettings, FrameTap, InferredFrame},
    model::{
        ChannelOrder, ColorOrder, ElementType, Fit, InferenceError, InputSpec, Layout, ModelInfo, Placement, RunOutput,
        Thresholds,
    },
    observation::{Capture, Detection, NormalizedBox, SourceKey, StreamIdentity},
    source::{AccessUnit, Next, Pacing},
    telemetry::{DropReason, Stage, StreamTelemetry},
};

mod clips;
mod faults;
mod flow;
mod pictures;

/// Past everything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says where it saw the mean brightness of each input, and takes as long as it is told.
struct FakeDetector {
    info: Arc<ModelInfo>,
    cost: Duration,
    sessions: Arc<AtomicUsize>,
    batches: Arc<Mutex<Vec<usize>>>,
    fault: Fault,
    /// Each run waits for one; without a sender any more, for nothing.
    gate: Option<Receiver<()>>,
}

/// What each run of a detector comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    /// For frames that are bright, as a fault in the reading of some output would be.
    PanicIfBright,
}

impl FakeDetector {
    fn new(cost: Duration) -> Self {
        Self::with_batch(cost, 1)
    }

    fn with_batch(cost: Duration, max_batch: usize) -> Self {
        let input = InputSpec {
            width: 64,
            height: 64,
            element_type: ElementType::F32,
            channel_order: ChannelOrder::Nchw,
            color_order: ColorOrder::Rgb,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            fit: Fit::Stretch,
            padding: 114,
            max_batch,
        };
        let thresholds = Thresholds {
            confidence: 0.25,
            iou: 0.5,
            per_class: Arc::from([(0, 0.6)]),
            class_agnostic: false,
            max_objects: 10,
        };
        let info = ModelInfo {
            name: "fake".into(),
            digest: "sha256:0".into(),
            opset: 17,
            labels: Arc::from(["a".into(), "b".into(), "c".into()]),
            labels_from: String::new(),
            layout: Layout::YoloV8,
            input,
            tensors: Vec::new(),
            thresholds,
        };
        Self {
            info: Arc::new(info),
            cost,
            sessions: Arc::default(),
            batches: Arc::default(),
            fault: Fault::None,
            gate: None,
        }
    }
}

struct FakeSession {
    inputs: Vec<Vec<f32>>,
    cost: Duration,
    batches: Arc<Mutex<Vec<usize>>>,
    fault: Fault,
    /// Each run waits for one; without a sender any more, for nothing.
    gate: Option<Receiver<()>>,
}

impl ModelChoice for ArcSwap<FakeDetector> {
    fn current(&self) -> Arc<dyn Detector> {
        self.load_full()
    }
}

impl Detector for FakeDetector {
    fn info(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn session(&self) -> Result<Box<dyn DetectorSession>, InferenceError> {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let size = (3 * self.info.input.width * self.info.input.height) as usize;
        let inputs = vec![vec![f32::NAN; size]; self.info.input.max_batch];
        Ok(Box::new(FakeSession {
            inputs,
            cost: self.cost,
            batches: self.batches.clone(),
            fault: self.fault,
            gate: self.gate.clone(),
        }))
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl DetectorSession for FakeSession {
    fn input(&mut self, index: usize) -> &mut [f32] {
        &mut self.inputs[index]
    }

    fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError> {
        thread::sleep(self.cost);
        if let Some(gate) = &self.gate {
            gate.recv().unwrap_or_default();
        }
        self.batches.lock().unwrap().push(pictures.len());
        assert!(self.fault != Fault::PanicIfBright || self.inputs[0][0] < 200.0, "told to");
        if self.fault == Fault::Error {
            return Err(InferenceError { model: "fake".into(), message: "told to".into() });
        }
        let detections = self.inputs.iter().zip(pictures).map(|(input, (_, thresholds))| {
            let mean = input.iter().take(12288).sum::<f32>() / 12288.0;
            let classes = [0_u32, 1, 2, 1].into_iter().take(thresholds.max_objects);
            classes
                .map(|class| Detection {
                    class,
                    confidence: thresholds.confidence,
                    bounding_box: NormalizedBox { x: mean / 255.0, y: 0.0, width: 1.0, height: 1.0 },
                })
                .collect()
        });
        Ok(RunOutput { detections: detections.collect(), inference: self.cost, post_processing: Duration::ZERO })
    }
}

/// Access units from a list, as fast as they are taken, one each `pace`, or one for each that is `asked` for.
struct Script {
    steps: VecDeque<Step>,
    pace: Option<Duration>,
    asked: Option<Receiver<()>>,
    started: Instant,
    given: u32,
}

enum Step {
    Format(gst::Caps),
    Unit(gst::Buffer, bool, bool),
    Fail(Failure),
    Panic,
    /// Nothing comes any more.
    Hang,
}

impl Script {
    fn new(steps: Vec<Step>, pace: Option<Duration>, asked: Option<Receiver<()>>) -> Self {
        Self { steps: steps.into(), pace, asked, started: Instant::now(), given: 0 }
    }
}

impl AccessUnits for Script {
    fn next(&mut self, timeout: Duration) -> Result<Next, Failure> {
        if let (Some(Step::Unit(..)), Some(pace)) = (self.steps.front(), self.pace) {
            let due = self.started + pace * self.given;
            let wait = due.saturating_duration_since(Instant::now());
            if wait > timeout {
                thread::sleep(timeout);
                return Ok(Next::Idle);
            }
            thread::sleep(wait);
        }
        if let (Some(Step::Unit(..)), Some(asked)) = (self.steps.front(), &self.asked)
            && asked.recv_timeout(timeout).is_err_and(|error| error.is_timeout())
        {
            return Ok(Next::Idle);
        }
        match self.steps.pop_front() {
            None => Ok(Next::Ended),
            Some(Step::Format(caps)) => Ok(Next::Format(caps)),
            Some(Step::Unit(buffer, key_frame, disposable)) => {
                let number = u64::from(self.given);
                self.given += 1;
                let captured = Capture::arrival(Timestamp::now());
                Ok(Next::Unit(AccessUnit { buffer, number, captured, key_frame, disposable }))
            }
            Some(Step::Fail(failure)) => Err(failure),
            Some(Step::Panic) => panic!("told to"),
            Some(Step::Hang) => {
                self.steps.push_front(Step::Hang);
                thread::sleep(timeout);
                Ok(Next::Idle)
            }
        }
    }
}

/// What an encoder makes of `description`, a pipeline up to the encoded caps.
fn encoded(description: &str) -> Vec<Step> {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{description} ! appsink name=units sync=false")).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("units").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut steps = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        if steps.is_empty() {
            steps.push(Step::Format(sample.caps_owned().unwrap()));
        }
        let buffer = sample.buffer_owned().unwrap();
        let key_frame = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let disposable = is_disposable(&buffer);
        steps.push(Step::Unit(buffer, key_frame, disposable));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(steps.len() > 1, "{description} gave nothing");
    steps
}

/// Whether every slice of an H.264 byte stream has `nal_ref_idc` 0.
fn is_disposable(buffer: &gst::Buffer) -> bool {
    let map = buffer.map_readable().unwrap();
    let mut slices =
        map.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1] && matches!(bytes[3] & 31, 1 | 5)).peekable();
    slices.peek().is_some() && slices.all(|bytes| bytes[3] & 0x60 == 0)
}

/// `frames` pictures at 30 fps, a P frame and two B frames that nothing refers to in turn.
fn h264(frames: u32, size: (u32, u32)) -> Vec<Step> {
    encoded(&format!(
        "videotestsrc num-buffers={frames} pattern=ball ! \
         video/x-raw,format=I420,width={},height={},framerate=30/1 ! \
         x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=30 threads=1 option-string=b-pyramid=none:scenecut=0 ! \
         video/x-h264,stream-format=byte-stream,alignment=au",
        size.0, size.1
    ))
}

fn raw(frames: u32, pattern: &str) -> Vec<Step> {
    encoded(&format!(
        "videotestsrc num-buffers={frames} pattern={pattern} ! \
         video/x-raw,format=I420,width=64,height=64,framerate=30/1"
    ))
}

struct Running {
    frames: Receiver<InferredFrame>,
    events: UnboundedReceiver<AttemptEvent>,
    telemetry: Arc<StreamTelemetry>,
    handle: Box<dyn RunningAttempt>,
}

#[derive(Default)]
struct Options {
    live: bool,
    capacity: Option<usize>,
    settings: DetectionSettings,
    tap: Option<Arc<dyn FrameTap>>,
    pace: Option<Duration>,
    asked: Option<Receiver<()>>,
}

fn engine(workers: usize) -> NativeEngine {
    let threads = ThreadPolicy::with_workers(NonZero::new(workers).unwrap());
    gst::init().unwrap();
    NativeEngine::new(NativeSettings { threads }).unwrap()
}

fn start(engine: &NativeEngine, detector: &Arc<FakeDetector>, steps: Vec<Step>, options: Options) -> Running {
    start_with(engine, Arc::new(ArcSwap::new(detector.clone())), steps, options)
}

fn start_with(engine: &NativeEngine, model: Arc<ArcSwap<FakeDetector>>, steps: Vec<Step>, options: Options) -> Running {
    let (sender, frames) = options.capacity.map_or_else(unbounded, bounded);
    let (events_sender, events) = unbounded_channel();
    let telemetry = Arc::new(StreamTelemetry::default());
    let identity = StreamIdentity { key: SourceKey::new("default", "camera"), epoch: 1, session: 1 };
    let pacing = if options.live { Pacing::Live } else { Pacing::Lossless };
    let stream = Stream::new(
        Arc::new(identity),
        pacing,
        Arc::new(ArcSwap::from_pointee(options.settings)),
        model,
        telemetry.clone(),
        sender,
        options.tap,
    );
    let handle = engine.begin(
        stream,
        move |_| Ok(Box::new(Script::new(steps, options.pace, options.asked)) as Box<_>),
        events_sender,
    );
    Running { frames, events, telemetry, handle }
}

impl Running {
    /// All frames until the attempt is over, and how it ended.
    fn finish(mut self) -> (Vec<InferredFrame>, AttemptEnd, Arc<StreamTelemetry>) {
        let mut frames = Vec::new();
        while let Ok(frame) = self.frames.recv_timeout(PATIENCE) {
            frames.push(frame);
        }
        let end = self.end();
        drop(self.handle);
        (frames, end, self.telemetry)
    }

    fn end(&mut self) -> AttemptEnd {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.try_recv() {
                Ok(AttemptEvent::Finished(end)) => return end,
                Ok(AttemptEvent::Streaming) => {}
                Err(error) => {
                    assert!(Instant::now() < deadline, "no end: {error}");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

fn drops(telemetry: &StreamTelemetry) -> u64 {
    DropReason::ALL.into_iter().map(|reason| telemetry.dropped(reason)).sum()
}

fn units(steps: &[Step]) -> u64 {
    steps.iter().filter(|step| matches!(step, Step::Unit(..))).count() as u64
}
