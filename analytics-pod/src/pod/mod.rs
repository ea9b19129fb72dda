//! Keeps what runs equal to what is desired: opens models, supervises sources, and ends both.

mod models;
mod requests;

use std::{
    collections::BTreeMap,
    future::{pending, ready},
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};
use futures_util::FutureExt as _;
use jiff::Timestamp;
pub use models::{ModelFailure, ModelState, Models, open_model};
pub use requests::{FrameRequests, SeenFrame};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    assign::{Causes, ChangedSource, DesiredSource, DesiredState, RecoveryPolicy},
    engine::{Attempt, DetectionSettings, Engine, FrameTap, InferredFrame},
    heap::Release,
    model::{Model, OpenOptions},
    observation::{SourceKey, StreamIdentity},
    request_id::RequestId,
    sink::{Publisher, PublisherEnd, Sink, SourceOutput, Sources},
    source::{
        Failure, Input, Pacing, Prepare, Reason, printable_uri,
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
    /// How models are opened.
    pub models: OpenOptions,
    /// Completes inputs before each connection; `None`: they are complete.
    pub prepare: Option<Arc<dyn Prepare>>,
}

/// The sources that run, and what they run with.
pub struct Pod {
    engine: Arc<dyn Engine>,
    pacing: Pacing,
    tap: Option<Arc<dyn FrameTap>>,
    telemetry: Arc<Telemetry>,
    models: Models,
    prepare: Option<Arc<dyn Prepare>>,
    requests: FrameRequests,
    frames: Sender<InferredFrame>,
    published: Sources,
    publisher: Publisher,
    /// Outputs that the pod began with.
    outputs: usize,
    desired: DesiredState,
    running: BTreeMap<SourceKey, Running>,
    /// Sources that were removed and have not ended yet.
    ending: BTreeMap<SourceKey, JoinHandle<()>>,
    releasing: Releasing,
    memory: Release,
    /// When this pod began; see [`StreamIdentity::epoch`].
    epoch: u64,
    /// The last [`StreamIdentity::session`] that was given out.
    session: u64,
}

/// The sources whose connections are being closed, and under which epoch they ran. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct Releasing(Arc<Mutex<BTreeMap<SourceKey, u64>>>);

impl Releasing {
    /// As it is now.
    #[must_use]
    pub fn list(&self) -> BTreeMap<SourceKey, u64> {
        self.sources().clone()
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<SourceKey, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One source under supervision.
struct Running {
    epoch: u64,
    task_of: watch::Sender<Task>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What a source is to do, and where its model is.
#[derive(Clone)]
struct Task {
    desired: Arc<DesiredSource>,
    model: watch::Receiver<ModelState>,
}

impl Pod {
    /// Starts with no sources.
    ///
    /// # Errors
    /// Where the publisher's thread cannot start.
    pub fn start(settings: PodSettings) -> io::Result<Self> {
        let PodSettings { engine, mut sinks, pacing, tap, telemetry, models, prepare } = settings;
        let outputs = sinks.len();
        let requests = FrameRequests::default();
        sinks.push(requests.sink());
        let (frames, inferred) = bounded(FRAMES_IN_FLIGHT);
        let published = Sources::default();
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        Ok(Self {
            engine,
            pacing,
            tap,
            models: Models::new(models, Arc::clone(telemetry.models())),
            telemetry,
            prepare,
            requests,
            frames,
            publisher: Publisher::spawn(inferred, published.clone(), sinks)?,
            outputs,
            published,
            desired: DesiredState::default(),
            running: BTreeMap::new(),
            ending: BTreeMap::new(),
            releasing: Releasing::default(),
            memory: Release::default(),
            epoch: now,
            session: now,
        })
    }

    /// Starts, changes and ends sources so that what runs is what is `desired`. Sources that do not change are not
    /// touched; one of which only what is detected, or with which model, changes keeps its connection. Does not wait
    /// for sources to end: one that hangs holds up no other. What follows from a change is known by the request that it
    /// is `caused` by.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn apply(&mut self, desired: DesiredState, caused: &Causes) {
        let changes = desired.changes_from(&self.desired);
        self.ending.retain(|_, ending| !ending.is_finished());
        self.models.apply(&desired.models, caused);
        if desired.models != self.desired.models {
            self.memory.soon();
        }
        for key in &changes.removed {
            self.remove(key, caused.sources.get(key));
        }
        for ChangedSource { source, parts } in changes.changed {
            let request = caused.of_source(&source.key, &source.model);
            if parts.connection || parts.recovery {
                self.remove(&source.key, request);
                self.add(source, request);
            } else if let Some(running) = self.running.get(&source.key) {
                let request_id = request.map(RequestId::as_str);
                info!(source = %source.key, model = %source.model, request_id, "source changed; its connection stays");
                if let (Some(request), Some(telemetry)) = (request, self.telemetry.source(&source.key)) {
                    telemetry.set_request(Some(request.clone()));
                }
                let model = self.models.watch(&source.model);
                running.task_of.send_replace(Task { desired: source, model });
            }
        }
        for source in changes.added {
            let request = caused.of_source(&source.key, &source.model);
            self.add(source, request);
        }
        self.desired = desired;
    }

    /// The models, and where each is.
    #[must_use]
    pub fn models(&self) -> Models {
        self.models.clone()
    }

    /// The sources whose connections are being closed.
    #[must_use]
    pub fn releasing(&self) -> Releasing {
        self.releasing.clone()
    }

    /// Tries the models again that could not be opened.
    pub fn reopen_failed_models(&self) {
        self.models.reopen_failed();
    }

    /// Where to ask for frames.
    #[must_use]
    pub fn frame_requests(&self) -> FrameRequests {
        self.requests.clone()
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

    /// Waits until every output has failed, and nobody is told anything any more. As long as one is left, the others do
    /// not matter.
    pub fn outputs_gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut failures, outputs) = (self.publisher.failures(), self.outputs);
        async move {
            if failures.wait_for(|failures| failures.len() >= outputs).await.is_err() {
                // The publisher has ended, which is its owner's doing.
                pending::<()>().await;
            }
        }
    }

    /// Ends every source, then the engine, then the publisher, each after it has finished what it has in hand.
    pub async fn shut_down(mut self) -> PublisherEnd {
        for running in self.running.values() {
            running.cancel.cancel();
        }
        let running = std::mem::take(&mut self.running).into_iter().map(|(key, running)| (key, running.task));
        for (key, task) in running.chain(std::mem::take(&mut self.ending)) {
            if let Err(error) = task.await {
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

    fn add(&mut self, source: Arc<DesiredSource>, request: Option<&RequestId>) {
        let key = source.key.clone();
        let request_id = request.map(RequestId::as_str);
        info!(source = %key, uri = %printable_uri(&source.input.uri), model = %source.model, request_id, "source added");
        let telemetry = self.telemetry.add_source(&key);
        telemetry.set_request(request.cloned());
        // Frames are numbered anew, so this is another publishing run.
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        self.session = now.max(self.session + 1);
        let epoch = source.binding.map_or(self.epoch, |binding| binding.epoch);
        let model = self.models.watch(&source.model);
        let (task_of, told) = watch::channel(Task { desired: source, model });
        let cancel = CancellationToken::new();
        let stream = Arc::new(StreamIdentity { key: key.clone(), epoch, session: self.session });
        let supervised = Supervised {
            tap: self.requests.tap(&stream, self.tap.clone()),
            stream,
            told,
            engine: Arc::clone(&self.engine),
            pacing: self.pacing,
            prepare: self.prepare.clone(),
            frames: self.frames.clone(),
            published: self.published.clone(),
            telemetry,
            memory: self.memory.clone(),
            cancel: cancel.clone(),
        };
        let predecessor = self.ending.remove(&key);
        let task = tokio::spawn(async move {
            if let Some(predecessor) = predecessor {
                // Its failure was told where it was awaited; a camera may take one connection only.
                drop(predecessor.await);
            }
            supervised.run().await;
        });
        self.running.insert(key, Running { epoch, task_of, cancel, task });
    }

    fn remove(&mut self, key: &SourceKey, request: Option<&RequestId>) {
        let Some(running) = self.running.remove(key) else { return };
        running.cancel.cancel();
        self.telemetry.remove_source(key);
        let (key, published, request) = (key.clone(), self.published.clone(), request.cloned());
        self.releasing.sources().insert(key.clone(), running.epoch);
        let (releasing, epoch) = (self.releasing.clone(), running.epoch);
        let memory = self.memory.clone();
        let ending = tokio::spawn({
            let key = key.clone();
            async move {
                if let Err(error) = running.task.await {
                    warn!(source = %key, %error, "a supervisor has failed");
                }
                published.remove(&key);
                memory.soon();
                let mut releasing = releasing.sources();
                if releasing.get(&key) == Some(&epoch) {
                    releasing.remove(&key);
                }
                drop(releasing);
                info!(source = %key, request_id = request.as_ref().map(RequestId::as_str), "source removed");
            }
        });
        self.ending.insert(key, ending);
    }
}

/// What the task of one source holds.
struct Supervised {
    stream: Arc<StreamIdentity>,
    told: watch::Receiver<Task>,
    engine: Arc<dyn Engine>,
    pacing: Pacing,
    prepare: Option<Arc<dyn Prepare>>,
    tap: Arc<dyn FrameTap>,
    frames: Sender<InferredFrame>,
    published: Sources,
    telemetry: Arc<StreamTelemetry>,
    memory: Release,
    cancel: CancellationToken,
}

impl Supervised {
    /// Waits for the model, then supervises the source until it ends for good or is cancelled. What is detected, and
    /// with which model, may change all the while.
    async fn run(mut self) {
        self.publish();
        let Some(first) = self.first_model().await else { return };
        // It may have been told otherwise meanwhile.
        self.publish();
        let Task { desired, model: mut models } = self.told.borrow_and_update().clone();
        // It may have been told to use another one meanwhile.
        let first = models.borrow_and_update().ready.clone().unwrap_or(first);
        let settings = Arc::new(ArcSwap::from_pointee(self.settings(&desired, &first)));
        let model = Arc::new(ArcSwap::new(first));
        let prepare = |input: Input| {
            let (key, login) = (&self.stream.key, desired.login.as_ref());
            match &self.prepare {
                Some(prepare) => prepare.prepare(key, login, input),
                None => ready(Ok(input)).boxed(),
            }
        };
        let attempt = |input, events| {
            // The attempt before, if any, has let go of its pipeline.
            self.memory.soon();
            Attempt {
                stream: Arc::clone(&self.stream),
                input,
                pacing: self.pacing,
                detection: Arc::clone(&settings),
                model: Arc::clone(&model),
                telemetry: Arc::clone(&self.telemetry),
                events,
                frames: self.frames.clone(),
                tap: Some(Arc::clone(&self.tap)),
            }
        };
        let engine = Arc::clone(&self.engine);
        let recovery = recovery_of(&desired);
        let places = desired.alternatives();
        let supervised =
            supervise(engine, &self.stream.key, recovery, places, &self.telemetry, &self.cancel, prepare, attempt);
        tokio::pin!(supervised);
        let mut told = self.told.clone();
        loop {
            tokio::select! {
                outcome = &mut supervised => {
                    if let Outcome::GaveUp(failure) = outcome {
                        warn!(source = %self.stream.key, %failure, "given up");
                    }
                    return;
                }
                Ok(()) = told.changed() => {
                    models = told.borrow_and_update().model.clone();
                    self.publish();
                }
                Ok(()) = models.changed() => {}
            }
            // A model that cannot be opened is reported where it is opened; the source keeps the one it has.
            if let Some(opened) = &models.borrow_and_update().ready {
                let before = model.swap(Arc::clone(opened));
                if !Arc::ptr_eq(&before, opened) {
                    let (request, info) = (self.telemetry.request(), opened.info());
                    let request_id = request.as_deref().map(RequestId::as_str);
                    info!(source = %self.stream.key, model = %info.name, digest = %info.digest, request_id, "model switched");
                }
            }
            settings.store(Arc::new(self.settings(&told.borrow().desired, &model.load())));
        }
    }

    /// Says how the source's frames become observations. Only its own task does, so that the last word is the latest.
    fn publish(&self) {
        self.published.set(&self.stream.key, &output_of(&self.told.borrow().desired));
    }

    /// The model once it is open; `None` where the source is cancelled before. Until then the source tells what it waits
    /// for.
    async fn first_model(&mut self) -> Option<Arc<Model>> {
        let mut told_of: Option<Arc<str>> = None;
        loop {
            let mut model = self.told.borrow_and_update().model.clone();
            let ModelState { ready, failure, .. } = model.borrow_and_update().clone();
            if ready.is_some() {
                return ready;
            }
            if let Some(failure) = failure.filter(|failure| told_of.as_ref() != Some(failure)) {
                self.telemetry.set_last_failure(Failure::new(Reason::ModelUnavailable, &*failure));
                told_of = Some(failure);
            }
            tokio::select! {
                () = self.cancel.cancelled() => return None,
                // The source may be told to use another model.
                Ok(()) = self.told.changed() => {}
                Ok(()) = model.changed() => {}
                else => return None,
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
    let publishes = source.binding.is_none_or(|binding| binding.publishes);
    SourceOutput { tracking: source.tracking.then(track::Settings::default), file: None, publishes }
}

fn recovery_of(source: &DesiredSource) -> Recovery {
    let RecoveryPolicy { stall_timeout, initial_backoff, max_backoff, max_attempts } = source.recovery;
    Recovery { stall_timeout, initial_backoff, max_backoff, max_attempts: max_attempts.map_or(0, NonZeroU32::get) }
}
