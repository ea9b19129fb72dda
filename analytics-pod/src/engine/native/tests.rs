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

/// Past everything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says where it saw the mean brightness of each input, and takes as long as it is told.
struct FakeDetector {
    info: Arc<ModelInfo>,
    cost: Duration,
    sessions: Arc<AtomicUsize>,
    batches: Arc<Mutex<Vec<usize>>>,
    fails: bool,
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
        Self { info: Arc::new(info), cost, sessions: Arc::default(), batches: Arc::default(), fails: false }
    }
}

struct FakeSession {
    inputs: Vec<Vec<f32>>,
    cost: Duration,
    batches: Arc<Mutex<Vec<usize>>>,
    fails: bool,
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
        Ok(Box::new(FakeSession { inputs, cost: self.cost, batches: self.batches.clone(), fails: self.fails }))
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
        self.batches.lock().unwrap().push(pictures.len());
        if self.fails {
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

/// Access units from a list, as fast as they are taken or one each `pace`.
struct Script {
    steps: VecDeque<Step>,
    pace: Option<Duration>,
    started: Instant,
    given: u32,
}

enum Step {
    Format(gst::Caps),
    Unit(gst::Buffer, bool, bool),
    Fail(Failure),
    /// Nothing comes any more.
    Hang,
}

impl Script {
    fn new(steps: Vec<Step>, pace: Option<Duration>) -> Self {
        Self { steps: steps.into(), pace, started: Instant::now(), given: 0 }
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
    let handle = engine.begin(stream, move |_| Ok(Box::new(Script::new(steps, options.pace)) as Box<_>), events_sender);
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

#[test]
fn every_frame_of_a_file_comes_out_in_order() {
    let engine = engine(3);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(3)));
    let steps = h264(90, (160, 120));
    assert_eq!(units(&steps), 90);
    // A consumer slower than the detector, at times.
    let running = start(&engine, &detector, steps, Options { capacity: Some(1), ..Options::default() });
    thread::sleep(Duration::from_millis(30));
    let (frames, end, telemetry) = running.finish();
    assert_eq!(end, AttemptEnd::Completed);
    // Frames are numbered in decoding order and come in presentation order: I at 0, then B B P.
    let mut numbers: Vec<u64> = frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers[..4], [0, 2, 3, 1]);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..90).collect::<Vec<_>>());
    assert_eq!((telemetry.decoded(), drops(&telemetry)), (90, 0));
    let format = telemetry.format().unwrap();
    assert_eq!((&*format.codec, format.width, format.height), ("H.264", 160, 120));
    assert!(telemetry.stage(Stage::Decode) > Duration::ZERO);
    assert!(telemetry.stage(Stage::Convert) > Duration::ZERO);
    assert!(detector.sessions.load(Ordering::Relaxed) <= 3);
}

#[test]
fn brightness_survives_decoding_and_conversion() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for (pattern, expected) in [("white", 1.0), ("black", 0.0), ("red", 1.0 / 3.0)] {
        // JPEG is full range by definition.
        for (encoder, colorimetry) in [
            ("jpegenc quality=95", "1:4:0:0"),
            ("x264enc tune=zerolatency qp-max=10 ! video/x-h264,stream-format=avc", "bt601"),
        ] {
            let steps = encoded(&format!(
                "videotestsrc num-buffers=5 pattern={pattern} ! video/x-raw,format=RGB,width=66,height=50 ! \
                 videoconvert ! video/x-raw,format=I420,colorimetry={colorimetry} ! {encoder}"
            ));
            let (frames, end, _) = start(&engine, &detector, steps, Options::default()).finish();
            assert_eq!((frames.len(), end), (5, AttemptEnd::Completed), "{encoder}");
            let mean = frames[4].detections[0].bounding_box.x;
            assert!((mean - expected).abs() < 0.02, "{pattern} by {encoder}: {mean}");
        }
    }
}

#[test]
fn other_formats_of_pictures_are_read() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for format in
        ["I420", "Y42B", "Y444", "NV12", "GRAY8", "RGB", "BGR", "BGRx", "xRGB", "RGBA", "I420_10LE", "YUY2", "RGB16"]
    {
        let steps = encoded(&format!(
            "videotestsrc num-buffers=2 pattern=white ! video/x-raw,format={format},width=37,height=21"
        ));
        let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
        assert_eq!((frames.len(), end), (2, AttemptEnd::Completed), "{format}");
        // The test source paints video white into grey pictures, whose caps say full range.
        let expected = if format == "GRAY8" { 235.0 / 255.0 } else { 1.0 };
        let mean = frames[0].detections[0].bounding_box.x;
        assert!((mean - expected).abs() < 0.02, "{format}: {mean}");
        assert_eq!(&*telemetry.format().unwrap().codec, "raw");
    }
}

#[test]
fn a_slow_detector_makes_the_rate_fall_and_not_the_latency_rise() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(40)));
    let options = Options { live: true, pace: Some(Duration::from_millis(5)), ..Options::default() };
    let running = start(&engine, &detector, raw(200, "ball"), options);
    let (mut worst, mut frames) = (Duration::ZERO, Vec::new());
    while let Ok(frame) = running.frames.recv_timeout(PATIENCE) {
        worst = worst.max(Timestamp::now().duration_since(frame.captured.time).try_into().unwrap());
        frames.push(frame.number);
    }
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(frames.len() < 100, "{}", frames.len());
    // A frame in the slot waits for one run at the most; ten are far more than that and far less than a queue.
    assert!(worst < Duration::from_millis(400), "{worst:?}");
    let telemetry = &running.telemetry;
    assert_eq!(telemetry.dropped(DropReason::Superseded) + frames.len() as u64, 200);
    assert_eq!(telemetry.decoded(), 200);
}

#[test]
fn sources_share_the_detector_fairly_under_overload() {
    let engine = engine(2);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(2)));
    let weights = [1, 1, 1, 1, 1, 1, 2, 2];
    let prepared: Vec<_> = weights.into_iter().map(|weight| (weight, raw(600, "ball"))).collect();
    let running: Vec<_> = prepared
        .into_iter()
        .map(|(weight, steps)| {
            let settings = DetectionSettings { weight, ..DetectionSettings::default() };
            let options = Options { live: true, settings, pace: Some(Duration::from_millis(2)), ..Options::default() };
            start(&engine, &detector, steps, options)
        })
        .collect();
    let frames: Vec<_> = running
        .into_iter()
        .map(|running| {
            let (frames, end, telemetry) = running.finish();
            assert_eq!(end, AttemptEnd::Completed);
            assert_eq!(frames.len() as u64 + drops(&telemetry), 600, "every frame is accounted for");
            frames
        })
        .collect();
    // While all of them were running.
    let taken = |frames: &[InferredFrame]| frames.iter().map(|frame| frame.captured.time).collect::<Vec<_>>();
    let times: Vec<_> = frames.iter().map(|frames| taken(frames)).collect();
    let from = times.iter().map(|times| times[0]).max().unwrap();
    let to = times.iter().map(|times| times[times.len() - 1]).min().unwrap();
    let share = |(times, weight): (&Vec<Timestamp>, u32)| {
        times.iter().filter(|time| (from..to).contains(time)).count() as f64 / f64::from(weight)
    };
    let shares: Vec<f64> = times.iter().zip(weights).map(share).collect();
    let (least, most) =
        shares.iter().fold((f64::MAX, 0.0), |(least, most), &share| (least.min(share), share.max(most)));
    assert!(least > 20.0 && most <= 1.1 * least + 1.0, "{shares:?}");
}

#[test]
fn frames_of_several_sources_are_batched() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::with_batch(Duration::from_millis(5), 4));
    let running: Vec<_> = ["white", "black", "white", "black"]
        .map(|pattern| start(&engine, &detector, raw(40, pattern), Options::default()))
        .into_iter()
        .collect();
    for (running, expected) in running.into_iter().zip([1.0, 0.0, 1.0, 0.0]) {
        let (frames, _, _) = running.finish();
        assert_eq!(frames.len(), 40);
        assert!(frames.iter().all(|frame| (frame.detections[0].bounding_box.x - expected).abs() < 0.02));
        assert!(frames.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
    let batches = detector.batches.lock().unwrap();
    assert!(batches.contains(&4) && batches.len() < 160, "{batches:?}");
}

#[test]
fn a_lower_rate_leaves_disposable_units_undecoded() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let settings = DetectionSettings { fps: Some(5.0), ..DetectionSettings::default() };
    let steps = h264(300, (160, 120));
    let disposable = steps.iter().filter(|step| matches!(step, Step::Unit(_, _, true))).count() as u64;
    assert!((190..=200).contains(&disposable), "{disposable} are disposable");
    let (frames, _, telemetry) = start(&engine, &detector, steps, Options { settings, ..Options::default() }).finish();
    assert!((49..=51).contains(&frames.len()), "{} frames", frames.len());
    let skipped = telemetry.dropped(DropReason::NotReferenced);
    assert!(skipped > 160, "{skipped} of {disposable} were left out");
    assert_eq!(telemetry.decoded() + skipped, 300);
    assert_eq!(telemetry.dropped(DropReason::NotDue) + frames.len() as u64, telemetry.decoded());
}

#[test]
fn settings_choose_the_detections() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let classes = |settings: DetectionSettings| {
        let options = Options { settings, ..Options::default() };
        let (frames, _, _) = start(&engine, &detector, raw(1, "white"), options).finish();
        let detections = &frames[0].detections;
        (
            detections.iter().map(|detection| detection.class).collect::<Vec<_>>(),
            detections.first().map(|d| d.confidence),
        )
    };
    let settings = DetectionSettings::default();
    assert_eq!(classes(settings.clone()), (vec![0, 1, 2, 1], Some(0.25)));
    assert_eq!(classes(DetectionSettings { max_objects: 2, ..settings.clone() }).0, [0, 1]);
    assert_eq!(classes(DetectionSettings { confidence: Some(0.7), ..settings.clone() }).1, Some(0.7));
    let of_one = DetectionSettings { classes: Some(Arc::from([1])), max_objects: 2, ..settings };
    assert_eq!(classes(of_one).0, [1, 1], "objects of other classes use up no places");
}

struct Brightness;

impl FrameTap for Brightness {
    fn look(&self, number: u64, frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Map<String, Value> {
        Map::from_iter([
            ("luma".to_owned(), frame.plane_data(0).unwrap()[0].into()),
            ("number".to_owned(), number.into()),
        ])
    }
}

#[test]
fn the_tap_sees_each_inferred_picture() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let options = Options { tap: Some(Arc::new(Brightness)), ..Options::default() };
    let (frames, _, _) = start(&engine, &detector, raw(3, "white"), options).finish();
    assert_eq!(frames[2].metadata["luma"], 235);
    assert_eq!(frames[2].metadata["number"], 2);
}

#[test]
fn stopping_ends_a_source_at_once_whatever_it_waits_for() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(5)));
    let mut hanging = raw(3, "white");
    hanging.push(Step::Hang);
    // One waits for its input, one for the detector, one for its consumer.
    let mut waiting_for_input = start(&engine, &detector, hanging, Options::default());
    let mut waiting_for_consumer =
        start(&engine, &detector, raw(100, "white"), Options { capacity: Some(1), ..Options::default() });
    for running in [&mut waiting_for_input, &mut waiting_for_consumer] {
        running.frames.recv_timeout(PATIENCE).unwrap();
        let asked = Instant::now();
        running.handle.stop();
        assert_eq!(running.end(), AttemptEnd::Stopped);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    let (frames, end, telemetry) = start(&engine, &detector, raw(10, "white"), Options::default()).finish();
    assert_eq!((frames.len(), end, drops(&telemetry)), (10, AttemptEnd::Completed, 0), "the worker is free again");
}

#[test]
fn shutting_down_ends_everything_and_delivers_what_is_in_hand() {
    let engine = engine(2);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(20)));
    let pace = Some(Duration::from_millis(5));
    let mut running: Vec<_> = (0..4)
        .map(|_| start(&engine, &detector, raw(400, "white"), Options { live: true, pace, ..Options::default() }))
        .collect();
    running[0].frames.recv_timeout(PATIENCE).unwrap();
    engine.shut_down(PATIENCE);
    for running in &mut running {
        assert_eq!(running.end(), AttemptEnd::Stopped);
        // One frame of the first source was taken above.
    }
    let inferred: usize = running.iter().map(|running| running.frames.try_iter().count()).sum();
    assert_eq!(inferred + 1, detector.batches.lock().unwrap().len());
    let life = engine.shared.life();
    assert_eq!((life.attempts, life.workers), (0, 0));
    drop(life);
    let mut late = start(&engine, &detector, raw(4, "white"), Options::default());
    assert_eq!(late.end(), AttemptEnd::Stopped);
}

#[test]
fn a_model_that_fails_costs_frames_and_nothing_else() {
    let engine = engine(1);
    let failing = Arc::new(FakeDetector { fails: true, ..FakeDetector::new(Duration::ZERO) });
    let (frames, end, telemetry) = start(&engine, &failing, raw(10, "white"), Options::default()).finish();
    assert_eq!((frames.len(), end), (0, AttemptEnd::Completed));
    assert_eq!(telemetry.dropped(DropReason::InferenceFailed), 10);
}

#[test]
fn sessions_of_a_model_that_nobody_uses_are_let_go() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    start(&engine, &detector, raw(2, "white"), Options::default()).finish();
    let batches = Arc::downgrade(&detector.batches);
    // The fake's sessions hold its list of batches.
    drop(detector);
    let deadline = Instant::now() + PATIENCE;
    while batches.strong_count() > 0 {
        assert!(Instant::now() < deadline, "a session lives on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_full_output_drops_live_frames_and_counts_them() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let options = Options { live: true, capacity: Some(1), pace: Some(Duration::from_millis(2)), ..Options::default() };
    let mut running = start(&engine, &detector, raw(50, "white"), options);
    assert_eq!(running.end(), AttemptEnd::Completed);
    let telemetry = &running.telemetry;
    assert!(telemetry.dropped(DropReason::OutputOverflow) > 0);
    assert_eq!(drops(telemetry), 49);
}

#[test]
fn a_change_of_resolution_goes_on_without_a_new_attempt() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(30, (160, 120));
    steps.extend(h264(30, (320, 240)));
    steps.extend(encoded("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48 ! jpegenc"));
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!(end, AttemptEnd::Completed);
    let widths: Vec<u32> = frames.iter().map(|frame| frame.width).collect();
    assert_eq!(widths, [vec![160; 30], vec![320; 30], vec![64; 5]].concat());
    assert_eq!(drops(&telemetry), 0);
    assert_eq!(&*telemetry.format().unwrap().codec, "JPEG");
}

#[test]
fn a_file_that_repeats_starts_over_without_loss() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(60, (160, 120));
    steps.extend(h264(60, (160, 120)).into_iter().skip(1));
    let (frames, _, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!((frames.len(), drops(&telemetry)), (120, 0));
}

#[test]
fn decoding_begins_at_a_key_frame() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(90, (160, 120));
    // The format stays; the first key frame is lost.
    steps.remove(1);
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!(end, AttemptEnd::Completed);
    assert_eq!(telemetry.dropped(DropReason::AwaitingKeyFrame), 29);
    assert_eq!(frames.len() as u64 + drops(&telemetry), 89);
    assert!(frames.len() >= 58, "{}", frames.len());
}

#[test]
fn broken_units_are_counted_and_do_not_end_a_source() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for seed in 0..4_u8 {
        let mut steps = h264(120, (160, 120));
        let total = units(&steps);
        for (index, step) in steps.iter_mut().enumerate().filter(|(index, _)| (20..60).contains(index)) {
            if let Step::Unit(buffer, ..) = step {
                let mut map = buffer.make_mut().map_writable().unwrap();
                for (at, byte) in map.iter_mut().enumerate().skip(usize::from(seed) * 3) {
                    *byte = byte.wrapping_mul(31).wrapping_add((at * index) as u8);
                }
            }
        }
        let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
        assert_eq!(end, AttemptEnd::Completed);
        assert_eq!(frames.len() as u64 + drops(&telemetry), total, "every unit is accounted for");
        assert!(frames.iter().filter(|frame| frame.number >= 60).count() >= 59, "the rest is whole");
    }
}

#[test]
fn a_source_of_garbage_fails_with_a_reason() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(200, (160, 120));
    for step in &mut steps {
        if let Step::Unit(buffer, ..) = step {
            buffer.make_mut().map_writable().unwrap().fill(0x55);
        }
    }
    let total = units(&steps);
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    let AttemptEnd::Failed(failure) = end else { panic!("{end:?}") };
    assert_eq!((failure.reason, frames.len()), (Reason::CorruptStream, 0), "{failure}");
    assert!(drops(&telemetry) > 0 && drops(&telemetry) <= total);
}

#[test]
fn failures_of_the_input_and_of_its_codec_are_told() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let lost = Failure::new(Reason::ConnectionLost, "gone");
    let mut steps = raw(2, "white");
    steps.push(Step::Fail(lost.clone()));
    let (frames, end, _) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!((frames.len(), end), (2, AttemptEnd::Failed(lost)));

    let caps = gst::Caps::builder("video/x-unheard-of").build();
    let (_, end, _) = start(&engine, &detector, vec![Step::Format(caps)], Options::default()).finish();
    let AttemptEnd::Failed(failure) = end else { panic!("{end:?}") };
    assert_eq!(failure.reason, Reason::UnsupportedCodec, "{failure}");
}

#[test]
fn a_model_changes_between_two_frames() {
    let engine = engine(1);
    let model = Arc::new(ArcSwap::from_pointee(FakeDetector::new(Duration::from_millis(2))));
    let pace = Some(Duration::from_millis(2));
    let running = start_with(&engine, model.clone(), raw(100, "white"), Options { pace, ..Options::default() });
    let first = running.frames.recv_timeout(PATIENCE).unwrap();
    let mut next = FakeDetector::new(Duration::ZERO);
    next.info = Arc::new(ModelInfo { name: "next".into(), ..(*next.info).clone() });
    let before = Arc::downgrade(&model.swap(Arc::new(next)));
    let (frames, end, telemetry) = running.finish();
    assert_eq!((frames.len(), end, drops(&telemetry)), (99, AttemptEnd::Completed, 0));
    assert_eq!(&*first.model.name, "fake");
    assert_eq!(&*frames[98].model.name, "next");
    let deadline = Instant::now() + PATIENCE;
    while before.strong_count() > 0 {
        assert!(Instant::now() < deadline, "the model before lives on");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The folder of clips, where there is one.
fn clips() -> Option<PathBuf> {
    let folder = std::env::var_os("VISION_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let folder = folder.join("videos");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no clips in {}", folder.display());
    None
}

/// Plays a file by way of its source room, as an attempt does.
fn play_file(
    engine: &NativeEngine,
    path: &std::path::Path,
    settings: DetectionSettings,
) -> (Vec<InferredFrame>, AttemptEnd, Arc<StreamTelemetry>) {
    let detector = FakeDetector::new(Duration::ZERO);
    let (sender, frames) = unbounded();
    let (events_sender, events) = unbounded_channel();
    let telemetry = Arc::new(StreamTelemetry::default());
    let identity = StreamIdentity { key: SourceKey::new("default", "file"), epoch: 1, session: 1 };
    let stream = Stream::new(
        Arc::new(identity),
        Pacing::Lossless,
        Arc::new(ArcSwap::from_pointee(settings)),
        Arc::new(ArcSwap::from_pointee(detector)),
        telemetry.clone(),
        sender,
        None,
    );
    let input = source::Input {
        uri: url::Url::from_file_path(path.canonicalize().unwrap()).unwrap(),
        credentials: None,
        transport: source::Transport::default(),
        repeat: false,
    };
    let open = move |stream: &Stream| source::open(&input, stream.pacing, &stream.telemetry);
    let handle = engine.begin(stream, open, events_sender);
    Running { frames, events, telemetry, handle }.finish()
}

#[test]
fn real_clips_decode_to_the_last_frame() {
    let Some(clips) = clips() else { return };
    let engine = engine(2);
    for (clip, count) in [
        ("udacity_test_video.mp4", 38),
        ("derived_person_h265_768x432_10fps.mp4", 400),
        ("derived_retail_h264_1280x720_15fps.mp4", 302),
        ("cvat_video_without_valid_keyframes.mp4", 25),
    ] {
        let (frames, end, telemetry) = play_file(&engine, &clips.join(clip), DetectionSettings::default());
        assert_eq!(end, AttemptEnd::Completed, "{clip}");
        assert_eq!((frames.len(), telemetry.received(), drops(&telemetry)), (count, count as u64, 0), "{clip}");
    }
}

#[test]
fn a_real_clip_is_watched_at_a_lower_rate() {
    let Some(clips) = clips() else { return };
    let engine = engine(2);
    // 30 fps, 20.1 s, H.265 with B-frames.
    let settings = DetectionSettings { fps: Some(5.0), ..DetectionSettings::default() };
    let (frames, end, telemetry) = play_file(&engine, &clips.join("nvidia_Retail02_short.mp4"), settings);
    assert_eq!(end, AttemptEnd::Completed);
    assert!(frames.len().abs_diff(101) <= 1, "{}", frames.len());
    assert!(telemetry.dropped(DropReason::NotReferenced) > 250, "{}", telemetry.dropped(DropReason::NotReferenced));
    assert_eq!(frames.len() as u64 + drops(&telemetry), telemetry.received());
}
