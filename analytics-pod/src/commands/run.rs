//! `analytics-pod run`: sources from manifests or a command line, until they end or somebody says stop.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch::Receiver as Changed, time::sleep};
use tracing::{error, info, warn};

use super::{
    StopRequest, chaos,
    models::{self, ModelArgumentError},
};
use crate::{
    api::{ApiError, Health, Server, Services, Token, TokenError},
    assign::{
        self, DesiredModel, DesiredState, Loaded, Loader, ModelKey, Watch, WatchError,
        rest::{FolderError, Registry, StateFolder, default_folder},
    },
    cli::{OutputTarget, RunArgs},
    engine::{
        Engine as _,
        native::{NativeEngine, NativeSettings, available_cores},
    },
    pod::{Pod, PodSettings},
    rotating_file::RotatingFile,
    sink::{FrameFiles, JsonLines, NullSink, Sink},
    source::Pacing,
    telemetry::{Telemetry, logging::LogLines},
    view::{LiveView, Summary, WorkerStatistics},
};

/// How often the end of finite sources is looked for.
const FINISHED_POLL: Duration = Duration::from_millis(100);

/// How long open HTTP requests may take to end.
const SERVER_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the sources are told as lines where the view has no terminal.
const LINES_INTERVAL: Duration = Duration::from_secs(1);

/// How often the sources are told in the log.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(10);

/// Why `run` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing that was named can be used; each problem on a line of its own.
    #[error("{0}")]
    Manifests(String),
    /// The model of a command line cannot be used.
    #[error(transparent)]
    Model(#[from] ModelArgumentError),
    /// The model of a command line cannot be opened.
    #[error("--model: {0}")]
    ModelUnavailable(String),
    /// A folder cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The state folder cannot be used.
    #[error("--state-folder: {0}")]
    State(#[from] FolderError),
    /// The file of the token cannot be used.
    #[error("--api-token-file: {0}")]
    Token(#[from] TokenError),
    /// The HTTP server cannot start.
    #[error("--listen: {0}")]
    Listen(#[from] ApiError),
    /// A thread or the terminal cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// `--chaos` cannot be run.
    #[error("--chaos: {0}")]
    Chaos(#[from] chaos::ChaosError),
    /// A source ended without having reported an object.
    #[error("--require-detections: no object was reported by {0}")]
    NoDetections(String),
    /// Both would write on one screen.
    #[error("--output stdout cannot be used with --view; name a file (`--output file:PATH`)")]
    ScreenIsTaken,
    /// An output cannot be opened.
    #[error("--output: {} cannot be written: {source}", path.display())]
    OutputFile {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The figures of the run could not be written.
    #[error("--stats-file: {} cannot be written: {source}", path.display())]
    Statistics {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// An output failed before the end.
    #[error("{0}")]
    Output(String),
}

/// Runs until every source has come to its end, `--max-duration` has passed, or `stop` is requested.
///
/// # Errors
/// Why it cannot start, or what went wrong by the end.
pub async fn run(args: &RunArgs, stop: &StopRequest, logs: LogLines) -> Result<ExitCode, RunError> {
    if let Some(seed) = args.chaos {
        return Ok(chaos::run(args, seed, stop).await?);
    }
    let telemetry = Arc::new(Telemetry::default());
    let token = args.api_token_file.as_deref().map(Token::read).transpose()?;
    let (declared, mut watch) = desired_at_start(args)?;
    let named_model = declared.models.keys().next().filter(|_| !args.uris.is_empty()).cloned();
    let sinks = sinks(args)?;
    let registry = Arc::new(registry(args, declared)?);
    let engine = Arc::new(NativeEngine::new(NativeSettings::default())?);
    let health = Arc::new(Health::default());
    let engine_name = engine.name();
    let mut pod =
        Pod::start(PodSettings { engine, sinks, pacing: Pacing::Live, tap: None, telemetry: Arc::clone(&telemetry) })?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        warn!(address = %args.listen, "everyone who reaches this address may change sources; give --api-token-file");
    }
    let services = Services {
        telemetry: Arc::clone(&telemetry),
        health: Arc::clone(&health),
        registry: Arc::clone(&registry),
        models: pod.models(),
        frames: pod.frame_requests(),
        engine: engine_name,
        cores: available_cores(),
        token,
    };
    let server = Server::start(args.listen, services).await?;
    info!(address = %server.address(), "HTTP API at /api/v1, page at /docs, metrics at /metrics");
    let view = view(args, &telemetry, logs)?;
    // Before the state is read, so that no change falls between the two.
    let changes = registry.changes();
    let (snapshot, causes) = registry.take_changes();
    pod.apply(snapshot.merged.state.clone(), &causes);
    health.set_started();

    let followed = follow(args, stop, &mut pod, (&registry, changes), watch.as_mut(), named_model).await;

    health.set_stopping();
    let end = pod.shut_down().await;
    server.stop(SERVER_TIMEOUT).await;
    drop(view);
    followed?;
    let summary = Summary::of(&telemetry);
    eprint!("{summary}");
    if let Some(path) = &args.stats_file {
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

/// Follows the manifests and the requests until there is a reason to end. Only what a command line names, together with
/// `named_model`, can come to an end or fail: folders and requests may bring new sources and mend models.
async fn follow(
    args: &RunArgs,
    stop: &StopRequest,
    pod: &mut Pod,
    (registry, mut changes): (&Registry, Changed<()>),
    mut watch: Option<&mut Watch>,
    named_model: Option<ModelKey>,
) -> Result<(), RunError> {
    let deadline = async {
        match args.max_duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut outputs = pod.output_failures();
    loop {
        let change = async {
            match watch.as_mut() {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = &mut deadline => return Ok(()),
            Ok(()) = outputs.changed() => return Ok(()),
            Some(loaded) = change => {
                report(&loaded);
                // A change by request may be on its way to the disk.
                tokio::task::block_in_place(|| registry.declare(loaded.state));
            }
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

/// What is declared at first, and what tells of changes.
fn desired_at_start(args: &RunArgs) -> Result<(DesiredState, Option<Watch>), RunError> {
    let (loaded, watch) = if !args.files.is_empty() {
        let (loaded, watch) = Watch::start(Loader::new(args.files.clone()))?;
        (loaded, Some(watch))
    } else if !args.uris.is_empty() {
        let folder = std::env::current_dir()?;
        (assign::from_uris(&args.uris, DesiredModel::clone(&*models::named(&args.model)?), &folder), None)
    } else {
        (Loaded::default(), None)
    };
    if loaded.state.sources.is_empty() && !loaded.errors.is_empty() {
        return Err(RunError::Manifests(loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    report(&loaded);
    Ok((loaded.state, watch))
}

/// What is declared and what was made over HTTP. A state folder that was asked for must be usable; without one, and
/// without the default one, the pod runs and refuses changes.
fn registry(args: &RunArgs, declared: DesiredState) -> Result<Registry, RunError> {
    let opened = match (&args.state_folder, default_folder()) {
        (Some(folder), _) => StateFolder::open(folder)?,
        // Who names one clip does not expect what was made over HTTP last week.
        (None, _) if !args.uris.is_empty() => {
            return Ok(Registry::read_only(declared, "the command line says what runs; give --state-folder too"));
        }
        (None, Some(folder)) => match StateFolder::open(&folder) {
            Ok(opened) => opened,
            Err(error) => {
                warn!("nothing can be changed over HTTP: {error}");
                return Ok(Registry::read_only(declared, &error.to_string()));
            }
        },
        (None, None) => {
            let reason = "this user has no home to keep them in; give --state-folder";
            warn!("nothing can be changed over HTTP: {reason}");
            return Ok(Registry::read_only(declared, reason));
        }
    };
    let (folder, held) = opened;
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
    Ok(registry)
}

fn report(loaded: &Loaded) {
    for problem in &loaded.errors {
        error!("{problem}");
    }
}

/// Every output that was asked for.
fn sinks(args: &RunArgs) -> Result<Vec<Box<dyn Sink>>, RunError> {
    let default = [if args.view { OutputTarget::Nowhere } else { OutputTarget::Stdout }];
    let targets = if args.outputs.is_empty() { &default[..] } else { &args.outputs };
    if args.view && targets.contains(&OutputTarget::Stdout) {
        return Err(RunError::ScreenIsTaken);
    }
    let sink = |target: &OutputTarget| -> Result<Box<dyn Sink>, RunError> {
        let unusable = |path: &Path, source| RunError::OutputFile { path: path.to_owned(), source };
        Ok(match target {
            OutputTarget::Stdout => Box::new(JsonLines::live("standard output", io::stdout())?),
            OutputTarget::Nowhere => Box::new(NullSink),
            OutputTarget::File(path) => {
                let file = RotatingFile::open(path, args.rotation()).map_err(|error| unusable(path, error))?;
                Box::new(JsonLines::live(path.display().to_string(), file)?)
            }
            OutputTarget::Frames(folder) => Box::new(
                FrameFiles::new(folder.display().to_string(), folder.clone())
                    .map_err(|error| unusable(folder, error))?,
            ),
        })
    };
    targets.iter().map(sink).collect()
}

fn write_statistics(path: &Path, telemetry: &Telemetry) -> Result<(), RunError> {
    let failed = |source: io::Error| RunError::Statistics { path: path.to_owned(), source };
    let text = serde_json::to_string_pretty(&WorkerStatistics::of(telemetry, Timestamp::now()))
        .map_err(|error| failed(error.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

/// What is shown while the pod runs: the table or its lines where they were asked for, else lines in the log of which
/// somebody who sits at a terminal has no need.
fn view(args: &RunArgs, telemetry: &Arc<Telemetry>, logs: LogLines) -> io::Result<Option<LiveView>> {
    let telemetry = Arc::clone(telemetry);
    if args.view && io::stdout().is_terminal() {
        LiveView::on_terminal(telemetry, logs).map(Some)
    } else if args.view {
        LiveView::as_lines(telemetry, io::stdout(), LINES_INTERVAL).map(Some)
    } else if io::stderr().is_terminal() {
        Ok(None)
    } else {
        LiveView::as_log(telemetry, STATISTICS_INTERVAL).map(Some)
    }
}
