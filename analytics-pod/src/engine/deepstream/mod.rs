//! The engine on NVIDIA DeepStream: its decoder, its mux and nvinfer on the GPU, in one pipeline for all sources of a
//! model. What DeepStream is made of, and what its metadata say, is the crate `deepstream`'s.
//!
//! A source is read by `source/`, as with every engine, and its access units are fed to DeepStream's decoder: so one
//! supervisor brings sources back, logins never reach an element of DeepStream, and every version is used in the same
//! way. DeepStream's own source bins are not used.

mod attempt;
mod feed;
mod pipelines;
mod workplace;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use deepstream::{
    LayoutError, Libraries, LibraryError, installation::Installation, libraries, pipeline::PipelineError,
};
use feed::Stream;
use pipelines::{Common, Pipelines};
use workplace::Machine;

use super::{Attempt, AttemptEnd, AttemptEvent, Engine, RunningAttempt, native::Stop};
use crate::source::{self, Failure, Reason};

/// After this many places that could not be let go of, the process should be replaced: each holds a thread and memory
/// that nothing gives back.
const LOST_PLACES: usize = 3;

/// How the engine is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeepStreamSettings {
    /// Sources at the most; pictures in a batch.
    pub capacity: u32,
    /// Width and height to which the mux scales all pictures, in pixels. Boxes do not depend on it; what the detector
    /// sees does, so it should have the shape of the cameras' pictures and at least the size of the model's input.
    pub size: (u32, u32),
    /// The GPU's number.
    pub gpu: u32,
    /// Buffers in the mux's pool; `None`: its own number.
    pub buffer_pool: Option<u32>,
    /// Kind of the mux's memory; `None`: its own.
    pub memory_type: Option<u32>,
    /// How long nvinfer may take to load its model, or to build an engine of it.
    pub start_timeout: Duration,
    /// The folder that engines stay in.
    pub cache: PathBuf,
    /// The project's parser library for nvinfer.
    pub parsers: PathBuf,
}

impl DeepStreamSettings {
    /// Defaults, with engines below `cache`.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            capacity: 32,
            size: (1920, 1080),
            gpu: 0,
            buffer_pool: None,
            memory_type: None,
            start_timeout: Duration::from_mins(30),
            cache,
            parsers: PathBuf::from("/usr/lib/vision-operator/libvision-parsers.so"),
        }
    }
}

/// Why the engine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeepStreamError {
    /// It is not installed, or not whole.
    #[error("DeepStream cannot be used: {0}")]
    Installation(String),
    /// Its metadata cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its libraries cannot be opened.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// See the module.
pub struct DeepStreamEngine {
    shared: Arc<Shared>,
}

struct Shared {
    pipelines: Pipelines,
    life: Mutex<Life>,
    changed: Condvar,
}

struct Life {
    open: bool,
    attempts: usize,
    stops: Vec<Weak<Stop>>,
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_all(&self) {
        let stops = {
            let mut life = self.life();
            life.open = false;
            std::mem::take(&mut life.stops)
        };
        stops.iter().filter_map(Weak::upgrade).for_each(|stop| stop.request());
    }
}

/// Counts an attempt until its thread ends, however it does.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.life().attempts -= 1;
        self.0.changed.notify_all();
    }
}

impl DeepStreamEngine {
    /// With the DeepStream of `installation`. No pipeline is made before the first source comes.
    ///
    /// # Errors
    /// Where it is not whole.
    pub fn new(installation: &Installation, settings: DeepStreamSettings) -> Result<Self, DeepStreamError> {
        let problems = installation.problems();
        if !problems.is_empty() {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            return Err(DeepStreamError::Installation(all.join("; ")));
        }
        let unknown = || DeepStreamError::Installation("its version is unknown".to_owned());
        let (version, _) = installation.version().ok_or_else(unknown)?;
        let epoch = installation.epoch().map_err(|error| error.map_or_else(unknown, DeepStreamError::Layout))?;
        let gpu_name = installation.gpus.get(settings.gpu as usize).cloned();
        let machine = Machine { tensorrt: libraries::tensorrt_version(), gpu_name, gpu: settings.gpu };
        let common = Common {
            version,
            epoch,
            libraries: Libraries::open(&installation.folder)?,
            capacity: settings.capacity.max(1),
            size: settings.size,
            buffer_pool: settings.buffer_pool,
            memory_type: settings.memory_type,
            start_timeout: settings.start_timeout,
            machine,
            cache: settings.cache,
            parsers: settings.parsers,
            tracker_library: installation.folder.join("lib/libnvds_nvmultiobjecttracker.so"),
        };
        tracing::info!(%version, layout = %epoch, folder = %installation.folder.display(), "DeepStream");
        let life = Mutex::new(Life { open: true, attempts: 0, stops: Vec::new() });
        let shared = Shared { pipelines: Pipelines::new(common), life, changed: Condvar::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Places in pipelines that could not be let go of. Each has cost a thread and what its source held.
    #[must_use]
    pub fn lost_places(&self) -> usize {
        self.shared.pipelines.lost_places()
    }
}

impl Engine for DeepStreamEngine {
    fn name(&self) -> &'static str {
        "DeepStream"
    }

    fn start(&self, attempt: Attempt) -> Box<dyn RunningAttempt> {
        let Attempt { stream, input, pacing, detection, model, telemetry, events, frames, tap: _ } = attempt;
        let stop = Arc::new(Stop::new());
        let running = {
            let mut life = self.shared.life();
            life.stops.retain(|stop| stop.strong_count() > 0);
            life.stops.push(Arc::downgrade(&stop));
            life.attempts += 1;
            if !life.open {
                stop.request();
            }
            Running(Arc::clone(&self.shared))
        };
        let handle = Handle(Arc::downgrade(&stop));
        let name = format!("feed-{}", stream.key.name);
        let stream = Arc::new(Stream { identity: stream, pacing, detection, telemetry, frames });
        let finished = events.clone();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let streaming = || drop(events.send(AttemptEvent::Streaming));
            let played =
                catch_unwind(AssertUnwindSafe(|| match source::open(&input, stream.pacing, &stream.telemetry) {
                    Ok(units) => {
                        let pipelines = &running.0.pipelines;
                        let attempt = attempt::Attempt::new(Arc::clone(&stream), model, pipelines, &stop, input.uri);
                        attempt.play(units, streaming)
                    }
                    Err(failure) => AttemptEnd::Failed(failure),
                }));
            // One source's end, and no other's.
            let end = played.unwrap_or_else(|_| {
                AttemptEnd::Failed(Failure::new(Reason::PipelineFailed, "a fault of this program; see its log"))
            });
            drop(stream);
            drop(events.send(AttemptEvent::Finished(end)));
            drop(running);
        });
        if let Err(error) = spawned {
            let failure = Failure::new(Reason::PipelineFailed, format!("no thread for the source: {error}"));
            // Nobody listening to the events means nobody is left to tell.
            drop(finished.send(AttemptEvent::Finished(AttemptEnd::Failed(failure))));
        }
        Box::new(handle)
    }

    /// A pipeline that hangs is replaced by whichever source notices; what cannot be mended here is a process that has
    /// lost too much.
    fn stalled(&self) -> Duration {
        if self.lost_places() >= LOST_PLACES { Duration::MAX } else { Duration::ZERO }
    }

    fn shut_down(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.shared.stop_all();
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.shared.changed.wait_timeout_while(self.shared.life(), left, |life| life.attempts > 0);
        if waited.unwrap_or_else(PoisonError::into_inner).0.attempts > 0 {
            tracing::warn!("sources did not end in time");
        }
        self.shared.pipelines.close();
    }
}

impl Drop for DeepStreamEngine {
    fn drop(&mut self) {
        self.shared.stop_all();
    }
}

/// Not what keeps the attempt alive: its thread is.
struct Handle(Weak<Stop>);

impl RunningAttempt for Handle {
    fn stop(&mut self) {
        if let Some(stop) = self.0.upgrade() {
            stop.request();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What `error` is to a source.
fn failure(before: &str, error: &PipelineError) -> Failure {
    let reason = match error {
        PipelineError::Element { .. } | PipelineError::Property { .. } => Reason::MissingElement,
        PipelineError::Format { .. } => Reason::UnsupportedCodec,
        PipelineError::Start { .. } => Reason::ModelUnavailable,
        PipelineError::Build
        | PipelineError::Failed { .. }
        | PipelineError::Hangs { .. }
        | PipelineError::Full { .. }
        | PipelineError::Layout(_) => Reason::PipelineFailed,
    };
    Failure::new(reason, format!("{before}{error}"))
}
