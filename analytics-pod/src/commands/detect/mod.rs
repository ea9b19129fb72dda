//! `analytics-pod detect`: every frame of pictures and videos, in order, as fast as the machine allows.

mod inputs;

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, bounded};
use gstreamer as gst;
use gstreamer_video::VideoFrameRef;
use indicatif::{ProgressBar, ProgressStyle};
use inputs::{InputError, MediaFile};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::INTERRUPTED;
use super::{
    StopRequest,
    models::{self, ModelArgumentError},
};
use crate::{
    annotate::{AnnotateError, KeptPicture, write_annotated},
    cli::DetectArgs,
    engine::{
        Attempt, AttemptEnd, AttemptEvent, DetectionSettings, Engine, FrameTap, InferredFrame, RunningAttempt,
        native::{NativeEngine, NativeSettings},
    },
    model::{Model, ModelError, OpenOptions},
    observation::{DEFAULT_NAMESPACE, Observation, SourceKey, StreamIdentity},
    pod::open_model,
    sink::{JsonLines, Refused, Sink, SinkError, observe},
    source::{Input, Pacing, Transport},
    telemetry::StreamTelemetry,
};

/// Inferred frames of one file that wait to be written.
const FRAMES_AHEAD: usize = 16;

/// How long the engine may take to end.
const SHUT_DOWN: Duration = Duration::from_secs(5);

/// Why `detect` did not do all that it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A path cannot be looked at.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The manifest of the model cannot be used.
    #[error(transparent)]
    Manifest(#[from] ModelArgumentError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine cannot start.
    #[error("the engine cannot start: {0}")]
    Engine(io::Error),
    /// The folder for annotated pictures cannot be made.
    #[error("--annotate {path}: {source}")]
    AnnotateFolder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A picture cannot be annotated.
    #[error("--annotate: {0}")]
    Annotate(#[from] AnnotateError),
    /// Standard output failed.
    #[error(transparent)]
    Output(SinkError),
}

/// Runs it. Files that cannot be read are named on standard error and make the exit code 1.
///
/// # Errors
/// What keeps it from going on at all.
pub fn detect(args: &DetectArgs, stop: &StopRequest) -> Result<ExitCode, DetectError> {
    let files = inputs::expand(&args.inputs)?;
    if let Some(folder) = &args.annotate {
        fs::create_dir_all(folder)
            .map_err(|source| DetectError::AnnotateFolder { path: folder.display().to_string(), source })?;
    }
    let model = open_model(&*models::named(&args.model)?, &OpenOptions::default())?;
    let engine = NativeEngine::new(NativeSettings::default()).map_err(DetectError::Engine)?;
    let outcome = Detector::new(args, &engine, model, &files).run(&files, stop);
    engine.shut_down(SHUT_DOWN);
    outcome
}

struct Detector<'a> {
    engine: &'a NativeEngine,
    model: Arc<Model>,
    settings: Arc<ArcSwap<DetectionSettings>>,
    annotate: Option<&'a Path>,
    session: u64,
    output: JsonLines,
    progress: ProgressBar,
}

/// One file under way.
struct Job<'a> {
    file: &'a MediaFile,
    frames: Receiver<InferredFrame>,
    events: UnboundedReceiver<AttemptEvent>,
    telemetry: Arc<StreamTelemetry>,
    kept: Option<Arc<PictureKeeper>>,
    running: Box<dyn RunningAttempt>,
}

impl<'a> Detector<'a> {
    fn new(args: &'a DetectArgs, engine: &'a NativeEngine, model: Arc<Model>, files: &[MediaFile]) -> Self {
        let settings = DetectionSettings { confidence: args.confidence, iou: args.iou, ..DetectionSettings::default() };
        let progress = ProgressBar::new(files.iter().map(|file| file.bytes).sum());
        progress.set_style(
            ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} (about {eta} left)")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self {
            engine,
            model,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            annotate: args.annotate.as_deref(),
            session: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
            output: JsonLines::lossless("standard output", io::stdout()),
            progress,
        }
    }

    fn run(mut self, files: &[MediaFile], stop: &StopRequest) -> Result<ExitCode, DetectError> {
        let mut waiting = files.iter();
        let mut jobs: VecDeque<Job<'_>> = VecDeque::new();
        let (mut failed, mut done_bytes) = (false, 0);
        loop {
            while self.may_start_another(&jobs) {
                let Some(file) = waiting.next() else { break };
                match self.start(file) {
                    Some(job) => jobs.push_back(job),
                    None => failed = true,
                }
            }
            let Some(job) = jobs.pop_front() else { break };
            let file = job.file;
            match self.finish(job, done_bytes, stop) {
                Ok(AttemptEnd::Completed) => {}
                // Whoever reads the lines must not take them for all.
                Ok(AttemptEnd::Stopped) => return Ok(ExitCode::from(INTERRUPTED)),
                Ok(AttemptEnd::Failed(failure)) => {
                    failed = true;
                    self.progress.suspend(|| eprintln!("{}: {failure}", file.path.display()));
                }
                Err(DetectError::Output(error)) if error.is_reader_gone() => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(error),
            }
            done_bytes += file.bytes;
        }
        self.output.finish().map_err(DetectError::Output)?;
        self.progress.finish_and_clear();
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Pictures are looked at side by side, one for each worker. A video keeps all workers busy by itself, and a second
    /// one beside it could only wait for the first to be written.
    fn may_start_another(&self, jobs: &VecDeque<Job<'_>>) -> bool {
        jobs.iter().all(|job| job.file.picture) && jobs.len() <= self.engine.workers()
    }

    /// `None` where the path cannot be a URI, which is said.
    fn start<'f>(&self, file: &'f MediaFile) -> Option<Job<'f>> {
        let uri = fs::canonicalize(&file.path).ok().and_then(|path| url::Url::from_file_path(path).ok());
        let Some(uri) = uri else {
            self.progress.suspend(|| eprintln!("{}: the path cannot be read", file.path.display()));
            return None;
        };
        let (frames, receiver) = bounded(FRAMES_AHEAD);
        let (events, told) = unbounded_channel();
        let telemetry = Arc::new(StreamTelemetry::default());
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let kept = self.annotate.map(|_| Arc::new(PictureKeeper::default()));
        let running = self.engine.start(Attempt {
            stream: Arc::new(StreamIdentity {
                key: SourceKey::new(DEFAULT_NAMESPACE, &name),
                epoch: self.session,
                session: self.session,
            }),
            input: Input { uri, credentials: None, transport: Transport::default(), capture: None, repeat: false },
            pacing: Pacing::Lossless,
            detection: self.settings.clone(),
            model: Arc::new(ArcSwap::new(self.model.clone())),
            telemetry: telemetry.clone(),
            events,
            frames,
            tap: kept.clone().map(|kept| kept as Arc<dyn FrameTap>),
        });
        Some(Job { file, frames: receiver, events: told, telemetry, kept, running })
    }

    fn finish(&mut self, mut job: Job<'_>, done_bytes: u64, stop: &StopRequest) -> Result<AttemptEnd, DetectError> {
        let path: Arc<str> = job.file.path.display().to_string().into();
        // The attempt holds the only sender, so the channel closes when its last frame has been taken.
        while let Ok(frame) = job.frames.recv() {
            if stop.is_requested() {
                job.running.stop();
                return Ok(AttemptEnd::Stopped);
            }
            let number = frame.number;
            let observation = observe(frame, None, Some(path.clone()), Timestamp::now());
            if let (Some(folder), Some(kept)) = (self.annotate, &job.kept)
                && let Some(picture) = kept.take(number)
            {
                write_annotated(&picture, &observation.objects, &annotated_path(folder, job.file, number))?;
            }
            self.write(&observation)?;
            let read = job.telemetry.received_bytes().min(job.file.bytes);
            self.progress.set_position(done_bytes + read);
            self.progress.set_message(format!("{path}, frame {number}"));
        }
        self.progress.set_position(done_bytes + job.file.bytes);
        loop {
            match job.events.blocking_recv() {
                Some(AttemptEvent::Finished(end)) => return Ok(end),
                Some(AttemptEvent::Streaming) => {}
                None => return Ok(AttemptEnd::Completed),
            }
        }
    }

    fn write(&mut self, observation: &Observation) -> Result<(), DetectError> {
        match self.output.publish(observation) {
            Ok(()) => Ok(()),
            Err(Refused::Full) => unreachable!("a lossless output waits for its reader"),
            Err(Refused::Broken(error)) => Err(DetectError::Output(error)),
        }
    }
}

/// A picture's own name; a video's with the number of the frame.
fn annotated_path(folder: &Path, file: &MediaFile, number: u64) -> PathBuf {
    let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
    folder.join(if file.picture { format!("{name}.jpg") } else { format!("{name}-{number:06}.jpg") })
}

/// Keeps the pictures that are being inferred until their objects are known.
#[derive(Default)]
struct PictureKeeper(Mutex<BTreeMap<u64, KeptPicture>>);

impl PictureKeeper {
    fn take(&self, number: u64) -> Option<KeptPicture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

impl FrameTap for PictureKeeper {
    fn look(&self, number: u64, frame: &VideoFrameRef<&gst::BufferRef>) -> Map<String, Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, KeptPicture::of(frame));
        Map::new()
    }
}
