//! `analytics-pod run`: sources from manifests or a command line, until they end or somebody says stop.

use std::{
    collections::HashMap,
    fs,
    future::pending,
    io::{self, IsTerminal as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::Receiver as Changed,
    time::sleep,
};
use tracing::{error, info, warn};

use super::{
    StopRequest, chaos,
    declared::{Manifests, declare, reload},
    run_error::RunError,
    tell,
};
use crate::{
    api::{Health, Server, Services, Token},
    assign::{
        DesiredState, ModelKey,
        rest::{Registry, StateFolder, default_folder},
    },
    cli::RunArgs,
    config::{Config, Effective, Inputs, OutputTarget, Store},
    engine::{
        Engine as _,
        native::{NativeEngine, NativeSettings, ThreadPolicy, available_cores},
    },
    model::{FetchOptions, OpenOptions, use_library},
    pod::{Pod, PodSettings},
    rotating_file::RotatingFile,
    sink::{FrameFiles, JsonLines, NullSink, Sink},
    source::Pacing,
    telemetry::{
        Telemetry,
        logging::{LogLevel, LogLines},
    },
    view::{LiveView, Summary, WorkerStatistics},
};

/// How often the end of finite sources is looked for.
const FINISHED_POLL: Duration = Duration::from_millis(100);

/// How long open HTTP requests may take to end.
const SERVER_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the sources are told as lines where the view has no terminal.
const LINES_INTERVAL: Duration = Duration::from_secs(1);

/// What a run begins with.
pub struct RunContext {
    /// Where its configuration is read from.
    pub inputs: Inputs,
    /// What was read there.
    pub effective: Effective,
    /// What holds the log's lines back.
    pub logs: LogLines,
    /// What is logged.
    pub level: LogLevel,
}

/// Runs until every source has come to its end, `maxDuration` has passed, or `stop` is requested.
///
/// # Errors
/// Why it cannot start, or what went wrong by the end.
pub async fn run(args: &RunArgs, stop: &StopRequest, context: RunContext) -> Result<ExitCode, RunError> {
    let RunContext { inputs, effective, logs, level } = context;
    let config = Arc::clone(&effective.config);
    for (variable, remedy) in &effective.unknown_variables {
        warn!("the environment variable {variable} sets nothing; {remedy}");
    }
    if let Some(library) = &config.onnxruntime {
        use_library(library);
    }
    if let Some(seed) = args.chaos {
        return Ok(chaos::run(args, &config.model, seed, stop).await?);
    }
    let telemetry = Arc::new(Telemetry::default());
    let token = config.api.token_file.as_deref().map(Token::read).transpose()?.map(Arc::new);
    let (declared, mut manifests) = Manifests::at_start(&args.uris, &effective)?;
    let named_model = declared.models.keys().next().filter(|_| !args.uris.is_empty()).cloned();
    let sinks = sinks(&effective, args.view, &telemetry)?;
    let (registry, requested) = registry(&config, declared, !args.uris.is_empty())?;
    let registry = Arc::new(registry);
    let hangups = hangups(&inputs)?;
    let store = Arc::new(store(inputs, effective, requested, &registry, level));
    let threads = config.detector.workers.map_or_else(ThreadPolicy::detect, ThreadPolicy::with_workers);
    let engine = Arc::new(NativeEngine::new(NativeSettings { threads })?);
    let health = Arc::new(Health::default());
    let engine_name = engine.name();
    let models = OpenOptions {
        fetch: FetchOptions { cache: config.cache_dir.clone(), ..FetchOptions::default() },
        ..OpenOptions::default()
    };
    let mut pod = Pod::start(PodSettings {
        engine,
        sinks,
        pacing: Pacing::Live,
        tap: None,
        telemetry: Arc::clone(&telemetry),
        models,
        prepare: None,
    })?;
    if token.is_none() && !config.listen.ip().is_loopback() {
        warn!(address = %config.listen, "everyone who reaches this address may change sources; give --api-token-file");
    }
    let services = Services {
        telemetry: Arc::clone(&telemetry),
        health: Arc::clone(&health),
        registry: Arc::clone(&registry),
        config: Arc::clone(&store),
        models: pod.models(),
        frames: pod.frame_requests(),
        engine: engine_name,
        cores: available_cores(),
        token: token.clone(),
        metrics_path: config.metrics.path.clone(),
        max_body: usize::try_from(config.api.max_body.get()).unwrap_or(usize::MAX),
    };
    let server = Server::start(config.listen, services).await?;
    info!(address = %server.address(), "HTTP API at /api/v1, page at /docs, metrics at {}", config.metrics.path);
    let view = view(args.view, &config, &telemetry, logs)?;
    // Before the state is read, so that no change falls between the two.
    let changes = registry.changes();
    let (snapshot, causes) = registry.take_changes();
    pod.apply(snapshot.merged.state.clone(), &causes);
    health.set_started();

    let control = Control { store: &store, registry: &registry, token: token.as_deref(), hangups };
    let max_duration = config.max_duration.map(crds::Duration::get);
    let followed = follow(max_duration, stop, &mut pod, (control, changes), &mut manifests, named_model).await;

    health.set_stopping();
    let end = pod.shut_down().await;
    server.stop(SERVER_TIMEOUT).await;
    drop(view);
    followed?;
    let summary = Summary::of(&telemetry);
    tell(&summary.to_string());
    if let Some(path) = &config.statistics.file {
        write_statistics(path, &telemetry)?;
    }
    if let Some(failure) = end.failures.iter().find(|failure| !failure.is_readers_doing()) {
        return Err(RunError::Output(failure.to_string()));
    }
    if args.require_detections {
        let silent: Vec<_> = summary.without_detections().map(ToString::to_string).collect();
        if !silent.is_empty() {
            return Err(RunError::NoDetections(silent.join(", ")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What changes a run while it runs.
struct Control<'a> {
    store: &'a Store,
    registry: &'a Registry,
    /// What guards the API.
    token: Option<&'a Token>,
    /// `None`: a hang-up ends the process.
    hangups: Option<Signal>,
}

/// SIGHUP, unless it says that the terminal of somebody who works with neither file nor profile is gone.
fn hangups(inputs: &Inputs) -> io::Result<Option<Signal>> {
    if inputs.file().is_none() && io::stdin().is_terminal() {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some)
}

/// What is in force, with what requests said before the start.
pub(super) fn store(
    inputs: Inputs,
    effective: Effective,
    requested: Option<Value>,
    registry: &Arc<Registry>,
    level: LogLevel,
) -> Store {
    let told = Arc::clone(registry);
    Store::new(inputs, effective, requested, Arc::clone(registry), move |config: &Config| {
        told.set_detection_defaults(config.detection.clone());
        // It was read before, so this is the end of the process.
        if let Err(error) = level.set(&config.log.level) {
            error!("{error}");
        }
    })
}

/// Follows the manifests, the requests and the configuration until there is a reason to end. Only what a command line
/// names, together with `named_model`, can come to an end or fail: folders and requests may bring new sources and mend
/// models.
async fn follow(
    max_duration: Option<Duration>,
    stop: &StopRequest,
    pod: &mut Pod,
    (control, mut changes): (Control<'_>, Changed<()>),
    manifests: &mut Manifests,
    named_model: Option<ModelKey>,
) -> Result<(), RunError> {
    let deadline = async {
        match max_duration {
            Some(duration) => sleep(duration).await,
            None => pending().await,
        }
    };
    tokio::pin!(deadline);
    let outputs_gone = pod.outputs_gone();
    tokio::pin!(outputs_gone);
    let Control { store, registry, token, mut hangups } = control;
    loop {
        let hangup = async {
            match hangups.as_mut() {
                Some(hangups) => hangups.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = &mut deadline => return Ok(()),
            () = &mut outputs_gone => return Ok(()),
            Some(()) = hangup => tokio::task::block_in_place(|| {
                reload(store, registry, manifests);
                reload_token(token);
            }),
            // A change by request may be on its way to the disk.
            Some(loaded) = manifests.changed() => tokio::task::block_in_place(|| declare(registry, loaded)),
            Ok(()) = changes.changed() => {
                let (snapshot, causes) = registry.take_changes();
                pod.apply(snapshot.merged.state.clone(), &causes);
            }
            () = sleep(FINISHED_POLL), if named_model.is_some() => {
                if pod.is_finished() {
                    return Ok(());
                }
                let state = named_model.as_ref().and_then(|model| pod.models().state(model)).unwrap_or_default();
                if let (None, Some(failure)) = (state.ready, state.failure) {
                    return Err(RunError::ModelUnavailable(failure.to_string()));
                }
            }
        }
    }
}

fn reload_token(token: Option<&Token>) {
    match token.map(Token::read_anew) {
        Some(Ok(true)) => info!("the API's token has changed; the one before is refused"),
        Some(Err(error)) => error!("api.tokenFile: {error}; the token before still counts"),
        Some(Ok(false)) | None => {}
    }
}

/// What is declared and what was made over HTTP. A state folder that was asked for must be usable; without one, and
/// without the default one, the pod runs and refuses changes.
fn registry(config: &Config, declared: DesiredState, names_uris: bool) -> Result<(Registry, Option<Value>), RunError> {
    let opened = match (&config.state_folder, default_folder()) {
        (Some(folder), _) => StateFolder::open(folder)?,
        // Who names one clip does not expect what was made over HTTP last week.
        (None, _) if names_uris => {
            let reason = "the command line says what runs; give --state-folder too";
            return Ok((Registry::read_only(declared, reason), None));
        }
        (None, Some(folder)) => match StateFolder::open(&folder) {
            Ok(opened) => opened,
            Err(error) => {
                warn!("nothing can be changed over HTTP: {error}");
                return Ok((Registry::read_only(declared, &error.to_string()), None));
            }
        },
        (None, None) => {
            let reason = "this user has no home to keep them in; give --state-folder";
            warn!("nothing can be changed over HTTP: {reason}");
            return Ok((Registry::read_only(declared, reason), None));
        }
    };
    let (folder, mut held) = opened;
    let requested = held.config.take();
    for file in &held.unreadable {
        error!("{file}");
    }
    info!(folder = %folder.path().display(), sources = held.sources.len(), models = held.models.len(), "state folder");
    let registry = Registry::new(declared, folder, held);
    let merged = &registry.snapshot().merged;
    for key in &merged.shadowed_sources {
        warn!(source = %key, "made over HTTP, and not run: a declared one has its name");
    }
    for (key, problem) in &merged.stuck {
        warn!(source = %key, "made over HTTP, and not run: {problem}");
    }
    if merged.state.sources.is_empty() {
        warn!("there is no VideoSource that is enabled; waiting for one");
    }
    Ok((registry, requested))
}

/// Every output that was asked for.
pub(super) fn sinks(
    effective: &Effective,
    has_screen: bool,
    telemetry: &Telemetry,
) -> Result<Vec<Box<dyn Sink>>, RunError> {
    let config = &effective.config;
    // The screen is the view's, where nobody says otherwise.
    let nowhere = [OutputTarget::Nowhere];
    let targets = if has_screen && effective.is_default("outputs") { &nowhere[..] } else { &config.outputs };
    if has_screen && targets.contains(&OutputTarget::Stdout) {
        return Err(RunError::ScreenIsTaken);
    }
    let sink = |target: &OutputTarget| -> Result<Box<dyn Sink>, RunError> {
        let unusable = |path: &Path, source| RunError::OutputFile { path: path.to_owned(), source };
        Ok(match target {
            OutputTarget::Stdout => Box::new(JsonLines::live(telemetry.add_output("standard output"), io::stdout())?),
            OutputTarget::Nowhere => Box::new(NullSink),
            OutputTarget::File(path) => {
                let file = RotatingFile::open(path, config.rotation.into()).map_err(|error| unusable(path, error))?;
                Box::new(JsonLines::live(telemetry.add_output(path.display().to_string()), file)?)
            }
            OutputTarget::Frames(folder) => Box::new(
                FrameFiles::new(telemetry.add_output(folder.display().to_string()), folder.clone())
                    .map_err(|error| unusable(folder, error))?,
            ),
        })
    };
    let sinks = targets.iter().map(sink).collect::<Result<_, _>>()?;
    check_files_differ(config, targets)?;
    Ok(sinks)
}

/// Whether no two things that are written are one file by whatever names; those that are open by now have one.
fn check_files_differ(config: &Config, targets: &[OutputTarget]) -> Result<(), RunError> {
    let outputs = targets.iter().filter_map(|target| match target {
        OutputTarget::File(path) => Some(("outputs (--output)", path)),
        OutputTarget::Stdout | OutputTarget::Nowhere | OutputTarget::Frames(_) => None,
    });
    let log = config.log.file.iter().map(|path| ("log.file (--log-file)", path));
    let statistics = config.statistics.file.iter().map(|path| ("statistics.file (--stats-file)", path));
    let mut seen = HashMap::new();
    for (second, path) in outputs.chain(log).chain(statistics) {
        let Some(file) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else { continue };
        if let Some(first) = seen.insert((file.dev(), file.ino()), second) {
            return Err(RunError::SameFile { first, second, path: path.clone() });
        }
    }
    Ok(())
}

fn write_statistics(path: &Path, telemetry: &Telemetry) -> Result<(), RunError> {
    let failed = |source: io::Error| RunError::Statistics { path: path.to_owned(), source };
    let text = serde_json::to_string_pretty(&WorkerStatistics::of(telemetry, Timestamp::now()))
        .map_err(|error| failed(error.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

/// What is shown while the pod runs: the table or its lines where they were asked for, else lines in the log of which
/// somebody who sits at a terminal has no need.
fn view(is_wanted: bool, config: &Config, telemetry: &Arc<Telemetry>, logs: LogLines) -> io::Result<Option<LiveView>> {
    let telemetry = Arc::clone(telemetry);
    if is_wanted && io::stdout().is_terminal() {
        LiveView::on_terminal(telemetry, logs).map(Some)
    } else if is_wanted {
        LiveView::as_lines(telemetry, io::stdout(), LINES_INTERVAL).map(Some)
    } else if io::stderr().is_terminal() {
        Ok(None)
    } else {
        LiveView::as_log(telemetry, config.statistics.interval.get()).map(Some)
    }
}
