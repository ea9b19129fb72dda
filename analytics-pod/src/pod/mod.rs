//! Keeps what runs equal to what is desired: opens models, supervises sources, and ends both.

mod models;

use std::{collections::BTreeMap, future::ready, io, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};
use jiff::Timestamp;
pub use models::open_model;
use models::{ModelState, Models};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    assign::{ChangedSource, DesiredSource, DesiredState, RecoveryPolicy},
    engine::{Attempt, DetectionSettings, Engine, FrameTap, InferredFrame},
    model::Model,
    observation::{SourceKey, StreamIdentity},
    sink::{Publisher, PublisherEnd, Sink, SinkError, SourceOutput, Sources},
    source::{
        Pacing, printable_uri,
        supervisor::{Outcome, Recovery, supervise},
    },
    telemetry::{StreamTelemetry, Telemetry},
    track,
};

/// Inferred frames between the engine and the publisher: a second of many fast sources.
const FRAMES_IN_FLIGHT: usize = 1024;

/// How long the engine's workers may take to end after the last source has.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a pod is made of.
pub struct PodSettings {
    /// Decodes and detects.
    pub engine: Arc<dyn Engine>,
    /// Where observations go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Whether frames may be dropped.
    pub pacing: Pacing,
    /// Looks at each inferred picture.
    pub tap: Option<Arc<dyn FrameTap>>,
    /// Where to count.
    pub telemetry: Arc<Telemetry>,
}

/// The sources that run, and what they run with.
pub struct Pod {
    engine: Arc<dyn Engine>,
    pacing: Pacing,
    tap: Option<Arc<dyn FrameTap>>,
    telemetry: Arc<Telemetry>,
    models: Models,
    frames: Sender<InferredFrame>,
    published: Sources,
    publisher: Publisher,
    desired: DesiredState,
    running: BTreeMap<SourceKey, Running>,
    /// When this pod began to publish; see [`StreamIdentity::session`].
    session: u64,
}

/// One source under supervision.
struct Running {
    desired: watch::Sender<Arc<DesiredSource>>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Pod {
    /// Starts with no sources.
    ///
    /// # Errors
    /// Where the publisher's thread cannot start.
    pub fn start(settings: PodSettings) -> io::Result<Self> {
        let PodSettings { engine, sinks, pacing, tap, telemetry } = settings;
        let (frames, inferred) = bounded(FRAMES_IN_FLIGHT);
        let published = Sources::default();
        Ok(Self {
            engine,
            pacing,
            tap,
            telemetry,
            models: Models::default(),
            frames,
            publisher: Publisher::spawn(inferred, published.clone(), sinks)?,
            published,
            desired: DesiredState::default(),
            running: BTreeMap::new(),
            session: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        })
    }

    /// Starts, changes and ends sources until what runs is what is `desired`. Sources that do not change are not
    /// touched; one of which only what is detected changes keeps its connection.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn apply(&mut self, desired: DesiredState) {
        let changes = desired.changes_from(&self.desired);
        self.models.apply(&desired.models);
        for key in &changes.removed {
            self.remove(key).await;
        }
        for ChangedSource { source, parts } in changes.changed {
            let same_model = self.desired.sources.get(&source.key).is_some_and(|before| before.model == source.model);
            if parts.connection || parts.recovery || !same_model {
                self.remove(&source.key).await;
                self.add(source);
            } else if let Some(running) = self.running.get(&source.key) {
                self.published.set(&source.key, &output_of(&source));
                running.desired.send_replace(source);
            }
        }
        for source in changes.added {
            self.add(source);
        }
        self.desired = desired;
    }

    /// The counters of every source.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Whether every source has come to its end for good.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.running.values().all(|running| running.task.is_finished())
    }

    /// Why the first of the models that cannot be opened cannot.
    #[must_use]
    pub fn model_failure(&self) -> Option<Arc<str>> {
        self.models.failure()
    }

    /// Tells each time an output fails; holds every failure so far.
    #[must_use]
    pub fn output_failures(&self) -> watch::Receiver<Vec<SinkError>> {
        self.publisher.failures()
    }

    /// Ends every source, then the engine, then the publisher, each after it has finished what it has in hand.
    pub async fn shut_down(mut self) -> PublisherEnd {
        for running in self.running.values() {
            running.cancel.cancel();
        }
        for (key, running) in std::mem::take(&mut self.running) {
            if let Err(error) = running.task.await {
                warn!(source = %key, %error, "a supervisor has failed");
            }
        }
        self.models.shut_down();
        let Self { engine, frames, publisher, .. } = self;
        let ended = tokio::task::spawn_blocking(move || {
            engine.shut_down(ENGINE_TIMEOUT);
            drop(frames);
            publisher.join()
        });
        ended.await.unwrap_or_default()
    }

    fn add(&mut self, source: Arc<DesiredSource>) {
        let key = source.key.clone();
        info!(source = %key, uri = %printable_uri(&source.input.uri), model = %source.model, "source added");
        let telemetry = self.telemetry.add_source(&key);
        self.published.set(&key, &output_of(&source));
        let model = self.models.watch(&source.model);
        let (desired, told) = watch::channel(source);
        let cancel = CancellationToken::new();
        let supervised = Supervised {
            stream: Arc::new(StreamIdentity { key: key.clone(), epoch: self.session, session: self.session }),
            desired: told,
            model,
            engine: Arc::clone(&self.engine),
            pacing: self.pacing,
            tap: self.tap.clone(),
            frames: self.frames.clone(),
            telemetry,
            cancel: cancel.clone(),
        };
        let task = tokio::spawn(supervised.run());
        self.running.insert(key, Running { desired, cancel, task });
    }

    async fn remove(&mut self, key: &SourceKey) {
        let Some(running) = self.running.remove(key) else { return };
        running.cancel.cancel();
        if let Err(error) = running.task.await {
            warn!(source = %key, %error, "a supervisor has failed");
        }
        self.published.remove(key);
        self.telemetry.remove_source(key);
        info!(source = %key, "source removed");
    }
}

/// What the task of one source holds.
struct Supervised {
    stream: Arc<StreamIdentity>,
    desired: watch::Receiver<Arc<DesiredSource>>,
    model: watch::Receiver<ModelState>,
    engine: Arc<dyn Engine>,
    pacing: Pacing,
    tap: Option<Arc<dyn FrameTap>>,
    frames: Sender<InferredFrame>,
    telemetry: Arc<StreamTelemetry>,
    cancel: CancellationToken,
}

impl Supervised {
    /// Waits for the model, then supervises the source until it ends for good or is cancelled. What is detected, and
    /// with which version of the model, may change all the while.
    async fn run(mut self) {
        let Some(first) = self.first_model().await else { return };
        let desired = self.desired.borrow_and_update().clone();
        let settings = Arc::new(ArcSwap::from_pointee(self.settings(&desired, &first)));
        let model = Arc::new(ArcSwap::new(first));
        let attempt = |input, events| {
            ready(Ok(Attempt {
                stream: Arc::clone(&self.stream),
                input,
                pacing: self.pacing,
                detection: Arc::clone(&settings),
                model: Arc::clone(&model),
                telemetry: Arc::clone(&self.telemetry),
                events,
                frames: self.frames.clone(),
                tap: self.tap.clone(),
            }))
        };
        let engine = Arc::clone(&self.engine);
        let recovery = recovery_of(&desired);
        let places = desired.alternatives();
        let supervised = supervise(engine, &self.stream.key, recovery, places, &self.telemetry, &self.cancel, attempt);
        tokio::pin!(supervised);
        let (mut told, mut models) = (self.desired.clone(), self.model.clone());
        loop {
            tokio::select! {
                outcome = &mut supervised => {
                    if let Outcome::GaveUp(failure) = outcome {
                        warn!(source = %self.stream.key, %failure, "given up");
                    }
                    return;
                }
                Ok(()) = told.changed() => {}
                Ok(()) = models.changed() => {
                    // A version that cannot be opened is reported where it is opened; the source keeps the one it has.
                    if let ModelState::Ready(opened) = &*models.borrow_and_update() {
                        model.store(Arc::clone(opened));
                    }
                }
            }
            settings.store(Arc::new(self.settings(&told.borrow_and_update(), &model.load())));
        }
    }

    /// The model once it is open; `None` where the source is cancelled before.
    async fn first_model(&mut self) -> Option<Arc<Model>> {
        let ready = self.model.wait_for(|state| matches!(state, ModelState::Ready(_)));
        tokio::select! {
            () = self.cancel.cancelled() => None,
            state = ready => match state.as_deref() {
                Ok(ModelState::Ready(model)) => Some(Arc::clone(model)),
                _ => None,
            }
        }
    }

    /// What the engine is to detect. A class that the model does not know is said, and nothing is reported.
    fn settings(&self, desired: &DesiredSource, model: &Model) -> DetectionSettings {
        desired.detection.settings(model.info()).unwrap_or_else(|problem| {
            warn!(source = %self.stream.key, %problem, "spec.detection.classes: nothing is reported");
            DetectionSettings { classes: Some(Arc::default()), ..DetectionSettings::default() }
        })
    }
}

fn output_of(source: &DesiredSource) -> SourceOutput {
    SourceOutput { tracking: source.tracking.then(track::Settings::default), file: None }
}

fn recovery_of(source: &DesiredSource) -> Recovery {
    let RecoveryPolicy { stall_timeout, initial_backoff, max_backoff, max_attempts } = source.recovery;
    Recovery { stall_timeout, initial_backoff, max_backoff, max_attempts: max_attempts.map_or(0, NonZeroU32::get) }
}
