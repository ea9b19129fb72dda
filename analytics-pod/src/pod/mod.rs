//! Keeps what runs equal to what is desired: opens models, supervises sources, and ends both.

mod models;

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};
use jiff::Timestamp;
use models::{ModelState, Models};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    assign::{DesiredSource, DesiredState},
    engine::{Attempt, DetectionSettings, Engine, FrameTap, InferredFrame},
    model::{Model, ModelInfo},
    observation::{SourceKey, StreamIdentity},
    sink::{Publisher, PublisherEnd, Sink, SourceOutput, Sources},
    source::{Pacing, supervise},
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
    running: BTreeMap<SourceKey, Running>,
    /// When this pod began to publish; see [`StreamIdentity::session`].
    session: u64,
}

/// One source under supervision.
struct Running {
    desired: DesiredSource,
    detection: watch::Sender<DesiredSource>,
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
            running: BTreeMap::new(),
            session: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        })
    }

    /// Starts, changes and ends sources until what runs is what is `desired`. Sources that do not change are not
    /// touched; one whose detection settings alone change keeps its connection.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn apply(&mut self, desired: &DesiredState) {
        self.models.apply(&desired.models);
        let gone: Vec<_> =
            self.running.keys().filter(|key| !desired.sources.contains_key(*key)).cloned().collect();
        for key in gone {
            self.remove(&key).await;
        }
        for (key, source) in &desired.sources {
            match self.running.get_mut(key) {
                Some(running) if running.desired == *source => {}
                Some(running) if running.desired.differs_only_in_detection(source) => {
                    self.published.set(key, &output_of(source));
                    running.detection.send_replace(source.clone());
                    running.desired = source.clone();
                }
                Some(_) => {
                    self.remove(key).await;
                    self.add(key, source);
                }
                None => self.add(key, source),
            }
        }
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

    /// Whether every model that is desired is open; the error of the first that cannot be opened.
    #[must_use]
    pub fn models_ready(&self) -> Option<Result<(), String>> {
        self.models.ready()
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

    fn add(&mut self, key: &SourceKey, source: &DesiredSource) {
        if !source.enabled {
            return;
        }
        info!(source = %key, uri = %source.printable_uri(), model = %source.model, "source added");
        let telemetry = self.telemetry.add_source(key);
        self.published.set(key, &output_of(source));
        let (detection, desired) = watch::channel(source.clone());
        let cancel = CancellationToken::new();
        let supervised = Supervised {
            stream: Arc::new(StreamIdentity { key: key.clone(), epoch: self.session, session: self.session }),
            desired,
            model: self.models.watch(key, &source.model),
            engine: Arc::clone(&self.engine),
            pacing: self.pacing,
            tap: self.tap.clone(),
            frames: self.frames.clone(),
            telemetry,
            cancel: cancel.clone(),
        };
        let task = tokio::spawn(supervised.run());
        self.running.insert(key.clone(), Running { desired: source.clone(), detection, cancel, task });
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

fn output_of(source: &DesiredSource) -> SourceOutput {
    SourceOutput { tracking: source.tracking.then(track::Settings::default), file: None }
}

/// What the task of one source holds.
struct Supervised {
    stream: Arc<StreamIdentity>,
    desired: watch::Receiver<DesiredSource>,
    model: watch::Receiver<ModelState>,
    engine: Arc<dyn Engine>,
    pacing: Pacing,
    tap: Option<Arc<dyn FrameTap>>,
    frames: Sender<InferredFrame>,
    telemetry: Arc<StreamTelemetry>,
    cancel: CancellationToken,
}

impl Supervised {
    /// Waits for the model, then supervises the source until it ends for good or is cancelled.
    async fn run(mut self) {
        let Some(model) = self.first_model().await else { return };
        let settings = Arc::new(ArcSwap::from_pointee(settings(&self.desired.borrow(), model.info())));
        let model = Arc::new(ArcSwap::new(model));
        let desired = self.desired.borrow().clone();
        let supervised = supervise(
            &*self.engine,
            &self.stream,
            &desired.recovery,
            &self.telemetry,
            &self.cancel,
            |events| Attempt {
                stream: Arc::clone(&self.stream),
                input: desired.input.clone(),
                pacing: self.pacing,
                detection: Arc::clone(&settings),
                model: Arc::clone(&model),
                telemetry: Arc::clone(&self.telemetry),
                events,
                frames: self.frames.clone(),
                tap: self.tap.clone(),
            },
        );
        tokio::pin!(supervised);
        let (mut told, mut models) = (self.desired.clone(), self.model.clone());
        loop {
            tokio::select! {
                () = &mut supervised => return,
                Ok(()) = models.changed() => {
                    // One that cannot be opened is reported where it is opened; the source goes on with the one it has.
                    if let ModelState::Ready(opened) = &*models.borrow_and_update() {
                        info!(source = %self.stream.key, model = %opened.info().name, "model changed");
                        model.store(Arc::clone(opened));
                    }
                }
                Ok(()) = told.changed() => {}
            }
            let current = model.load_full();
            settings.store(Arc::new(self::settings(&told.borrow_and_update(), current.info())));
        }
    }

    /// The model once it is open; `None` where the source is cancelled before.
    async fn first_model(&mut self) -> Option<Arc<Model>> {
        tokio::select! {
            () = self.cancel.cancelled() => None,
            state = self.model.wait_for(|state| matches!(state, ModelState::Ready(_))) => match state.as_deref() {
                Ok(ModelState::Ready(model)) => Some(Arc::clone(model)),
                _ => None,
            }
        }
    }
}

/// What the engine needs of the desired detection; class names that the model does not know are said and left out.
fn settings(desired: &DesiredSource, model: &ModelInfo) -> DetectionSettings {
    let asked = &desired.detection;
    let classes = asked.classes.as_ref().map(|names| {
        let mut indices = Vec::new();
        for name in names {
            match model.labels.iter().position(|label| **label == **name) {
                Some(index) => indices.push(index as u32),
                None => warn!(
                    source = %desired.key,
                    model = %model.name,
                    "spec.detection.classes: the model has no class `{name}`; it has {}",
                    model.labels.join(", ")
                ),
            }
        }
        indices.into()
    });
    DetectionSettings {
        fps: asked.fps,
        confidence: asked.confidence,
        iou: asked.iou,
        classes,
        max_objects: asked.max_objects,
        weight: 1,
    }
}
