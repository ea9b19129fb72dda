//! `analytics-pod serve`: the sources that a cluster assigns to this pod, until it is told to end.

mod capacity;

use std::{collections::BTreeMap, process::ExitCode, sync::Arc, time::Duration};

use capacity::CapacityMeter;
use crds::report::Rates;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{error, info, warn};

use super::{
    StopRequest,
    run::{self, RunContext},
    run_error::RunError,
};
use crate::{
    api::{ApiError, Health, Server, Services, Token, TokenError},
    assign::{
        DesiredState, ModelKey,
        kubernetes::{Assigned, Assignments, ClientError, Identity, Logins, Media, Refused, Resolved, client, resolve},
        rest::Registry,
    },
    cli::ServeArgs,
    engine::{
        Engine as _,
        native::{CapacityError, NativeEngine, NativeSettings, ThreadPolicy, available_cores},
    },
    model::{FetchOptions, Model, OpenOptions, use_library},
    observation::SourceKey,
    pod::{ModelState, Pod, PodSettings},
    report::{CertificateError, Certificates, ReportServer, ReportServerError, Reporter, ReporterParts},
    source::Pacing,
    telemetry::Telemetry,
};

/// How long open HTTP requests may take to end.
const SERVER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the pod goes on after SIGTERM: `terminationGracePeriodSeconds` is 120, and closing takes some of it.
const DRAIN: Duration = Duration::from_secs(110);

/// How often streams are measured.
const SAMPLE: Duration = Duration::from_secs(1);

/// After a model could not be opened, the first and the longest wait until it is tried again.
const FIRST_REOPEN: Duration = Duration::from_secs(5);
const LONGEST_REOPEN: Duration = Duration::from_mins(2);

/// Why `serve` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The API server cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The operator cannot be answered.
    #[error("VISION_STATUS_TLS (--status-tls): {0}")]
    Certificates(#[from] CertificateError),
    /// The same.
    #[error("VISION_STATUS_LISTEN (--status-listen): {0}")]
    Report(#[from] ReportServerError),
    /// An output cannot be opened, or has failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file of the token cannot be used.
    #[error("api.tokenFile (VISION_API_TOKEN_FILE): {0}")]
    Token(#[from] TokenError),
    /// The HTTP server cannot start.
    #[error("listen (VISION_LISTEN): {0}")]
    Listen(#[from] ApiError),
    /// A thread cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// What the pod can take cannot be told.
    #[error("the capacity cannot be measured: {0}")]
    Capacity(#[from] CapacityError),
    /// A fault of this program.
    #[error("the measurement of the capacity has failed: {0}")]
    Measurement(#[from] JoinError),
}

/// Runs until `stop` is requested and every source has been released, or [`DRAIN`] has passed since.
///
/// # Errors
/// Why it cannot start, or what went wrong.
pub async fn serve(args: &ServeArgs, stop: &StopRequest, context: RunContext) -> Result<ExitCode, ServeError> {
    let RunContext { inputs, effective, logs: _, level } = context;
    let config = Arc::clone(&effective.config);
    let unknown = effective.unknown_variables.iter();
    for (variable, remedy) in unknown.filter(|(variable, _)| !ServeArgs::VARIABLES.contains(&&**variable)) {
        warn!("the environment variable {variable} sets nothing; {remedy}");
    }
    for key in ["files", "sources", "models"].into_iter().filter(|key| !effective.is_default(key)) {
        warn!("{key}: in a cluster the API server says what runs; this is left out");
    }
    if let Some(library) = &config.onnxruntime {
        use_library(library);
    }
    let token = config.api.token_file.as_deref().map(Token::read).transpose()?;
    let certificates = Certificates::watch(&args.status_tls)?;
    let client = client().await?;
    let media = Media::new(args.media.clone());
    let identity =
        Identity { pod: args.pod_name.clone(), namespace: args.namespace.clone(), model: args.model.clone() };
    let model = ModelKey::new(&identity.namespace, &identity.model);
    let telemetry = Arc::new(Telemetry::default());
    let sinks = run::sinks(&effective, false, &telemetry)?;
    let registry = Arc::new(Registry::in_cluster());
    let store = Arc::new(run::store(inputs, effective, None, &registry, level));
    let threads = config.detector.workers.map_or_else(ThreadPolicy::detect, ThreadPolicy::with_workers);
    let meter = CapacityMeter::new(&identity.pod, threads.workers, config.state_folder.as_deref());
    let engine = Arc::new(NativeEngine::new(NativeSettings { threads })?);
    let health = Arc::new(Health::default());
    let pod = Pod::start(PodSettings {
        engine: engine.clone(),
        sinks,
        pacing: Pacing::Live,
        tap: None,
        telemetry: Arc::clone(&telemetry),
        models: OpenOptions {
            fetch: FetchOptions { cache: config.cache_dir.clone(), ..FetchOptions::default() },
            ..OpenOptions::default()
        },
        prepare: Some(Arc::new(Logins::new(client.clone(), &identity.namespace, media.clone()))),
    })?;
    let services = Services {
        telemetry: Arc::clone(&telemetry),
        health: Arc::clone(&health),
        registry: Arc::clone(&registry),
        config: store,
        models: pod.models(),
        frames: pod.frame_requests(),
        engine: engine.name(),
        cores: available_cores(),
        token: token.map(Arc::new),
        metrics_path: config.metrics.path.clone(),
        max_body: usize::try_from(config.api.max_body.get()).unwrap_or(usize::MAX),
    };
    let server = Server::start(config.listen, services).await?;
    info!(address = %server.address(), "HTTP API at /api/v1, page at /docs, metrics at {}", config.metrics.path);
    let reporter = Arc::new(Reporter::new(ReporterParts {
        pod: identity.pod.clone(),
        model: model.clone(),
        telemetry,
        models: pod.models(),
        releasing: pod.releasing(),
        engine,
    }));
    let report = ReportServer::start(args.status_listen, certificates, Arc::clone(&reporter)).await?;
    info!(report_address = %report.address(), pod = identity.pod, model = %model, "waiting for the cluster");
    let mut serving = Serving {
        states: pod.models().watch(&model),
        model,
        media,
        assignments: Assignments::follow(&client, &identity),
        registry,
        reporter,
        health: Arc::clone(&health),
        meter,
        pod,
        stage: Stage::Opening,
        refused: BTreeMap::new(),
    };
    let ended = serving.follow(stop).await;
    health.set_stopping();
    let end = serving.pod.shut_down().await;
    server.stop(SERVER_TIMEOUT).await;
    ended?;
    match end.failures.iter().find(|failure| !failure.is_readers_doing()) {
        Some(failure) => Err(RunError::Output(failure.to_string()).into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// How far the pod is with its model. Sources run from `Serving` on.
enum Stage {
    /// None can be used yet.
    Opening,
    /// What it can take is being measured; nothing else runs.
    Measuring(Arc<Model>, JoinHandle<Result<Rates, CapacityError>>),
    /// Serving with this model.
    Serving(Arc<Model>, Rates),
    /// Serving with this model, while it is measured against the one before.
    Comparing(Arc<Model>, Rates, JoinHandle<Result<Rates, CapacityError>>),
}

/// What the pod is told by, and what it does of it.
struct Serving {
    states: watch::Receiver<ModelState>,
    model: ModelKey,
    media: Media,
    assignments: Assignments,
    registry: Arc<Registry>,
    reporter: Arc<Reporter>,
    health: Arc<Health>,
    meter: CapacityMeter,
    pod: Pod,
    stage: Stage,
    /// What was told of already.
    refused: BTreeMap<SourceKey, Refused>,
}

impl Serving {
    async fn follow(&mut self, stop: &StopRequest) -> Result<(), ServeError> {
        let mut assigned = self.assignments.assigned();
        let outputs_gone = self.pod.outputs_gone();
        tokio::pin!(outputs_gone);
        let mut changes = self.registry.changes();
        let mut sample = interval(SAMPLE);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reopen = Reopen::default();
        let mut draining: Option<Instant> = None;
        loop {
            let is_idle = assigned.borrow().held.is_empty();
            if draining.is_some_and(|until| is_idle || Instant::now() >= until) {
                return Ok(());
            }
            let drained = async {
                match draining {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let reopening = async {
                match reopen.at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.requested(), if draining.is_none() => {
                    info!("told to end: nothing new is taken, and what runs goes on until it is released");
                    draining = Some(Instant::now() + DRAIN);
                    self.reporter.set_terminating();
                    self.assignments.drain();
                }
                () = drained => warn!("sources were not released in time; the pod ends"),
                () = &mut outputs_gone => return Ok(()),
                Ok(()) = assigned.changed() => {
                    let now = assigned.borrow_and_update().clone();
                    self.assign(now);
                }
                Ok(()) = changes.changed() => self.apply(),
                Ok(()) = self.states.changed() => {
                    let state = self.states.borrow_and_update().clone();
                    reopen.told(&state);
                    self.opened(&state);
                }
                measured = measured(&mut self.stage) => self.measured(measured?)?,
                () = reopening => {
                    reopen.at = None;
                    self.pod.reopen_failed_models();
                }
                _ = sample.tick() => self.reporter.sample(),
            }
        }
    }

    /// The cluster asks for something else.
    fn assign(&mut self, assigned: Assigned) {
        let Resolved { state, refused } = resolve(&self.model, assigned.model.as_ref(), &assigned.held, &self.media);
        for (source, refused) in refused.iter().filter(|(source, refused)| self.refused.get(source) != Some(refused)) {
            warn!(%source, reason = refused.reason, "not run: {}", refused.message);
        }
        self.refused.clone_from(&refused);
        self.reporter.set_assigned(assigned, Resolved { state: state.clone(), refused });
        self.registry.declare(state);
    }

    /// Runs what is asked, as far as the pod is ready to.
    fn apply(&mut self) {
        let (snapshot, causes) = self.registry.take_changes();
        let asked = snapshot.merged.state.clone();
        let state = match self.stage {
            Stage::Serving(..) | Stage::Comparing(..) => asked,
            Stage::Opening | Stage::Measuring(..) => DesiredState { models: asked.models, ..DesiredState::default() },
        };
        self.pod.apply(state, &causes);
    }

    /// The model has been opened, or could not be.
    fn opened(&mut self, state: &ModelState) {
        let Some(model) = &state.ready else { return };
        match &self.stage {
            Stage::Opening => {
                let (meter, measured) = (self.meter.clone(), Arc::clone(model));
                let task = tokio::task::spawn_blocking(move || meter.measure(&measured));
                self.stage = Stage::Measuring(Arc::clone(model), task);
            }
            Stage::Serving(before, rates) if before.info().digest != model.info().digest => {
                let (meter, rates) = (self.meter.clone(), *rates);
                let (new, old) = (Arc::clone(model), Arc::clone(before));
                let task = tokio::task::spawn_blocking(move || meter.changed(&new, &old, rates));
                self.stage = Stage::Comparing(Arc::clone(model), rates, task);
            }
            // What comes meanwhile is looked at when the measurement is over.
            Stage::Serving(..) | Stage::Measuring(..) | Stage::Comparing(..) => {}
        }
    }

    fn measured(&mut self, measured: Result<Rates, CapacityError>) -> Result<(), ServeError> {
        let (model, rates) = match std::mem::replace(&mut self.stage, Stage::Opening) {
            Stage::Measuring(model, _) => (model, measured?),
            // It serves all the same.
            Stage::Comparing(model, before, _) => {
                let rates = measured.unwrap_or_else(|error| {
                    warn!("the capacity stays as it was with the model before: {error}");
                    before
                });
                (model, rates)
            }
            stage @ (Stage::Opening | Stage::Serving(..)) => {
                self.stage = stage;
                return Ok(());
            }
        };
        self.reporter.set_capacity(rates);
        self.stage = Stage::Serving(model, rates);
        if !self.health.is_started() {
            self.health.set_started();
            info!("serving");
        }
        self.apply();
        let state = self.states.borrow().clone();
        self.opened(&state);
        Ok(())
    }
}

/// The end of the measurement that is under way; nothing ever where none is.
async fn measured(stage: &mut Stage) -> Result<Result<Rates, CapacityError>, JoinError> {
    match stage {
        Stage::Measuring(_, task) | Stage::Comparing(_, _, task) => task.await,
        Stage::Opening | Stage::Serving(..) => std::future::pending().await,
    }
}

/// When a model that could not be opened is tried again.
#[derive(Debug, Default)]
struct Reopen {
    at: Option<Instant>,
    wait: Duration,
}

impl Reopen {
    fn told(&mut self, state: &ModelState) {
        if state.failure.is_none() {
            *self = Self::default();
            return;
        }
        self.wait = (self.wait * 2).clamp(FIRST_REOPEN, LONGEST_REOPEN);
        self.at = Some(Instant::now() + self.wait);
        error!(again_in_s = self.wait.as_secs(), "the model cannot be used; it is tried again");
    }
}
