//! `analytics-pod run`: sources from manifests or a command line, until they end or somebody says stop.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{
    StopRequest,
    models::{self, ModelArgumentError},
};
use crate::{
    api::{ApiError, Health, Server},
    assign::{self, DesiredSource, DesiredState, Loaded, UriError, Watcher, WatchError},
    cli::RunArgs,
    engine::native::{NativeEngine, NativeSettings},
    pod::{Pod, PodSettings},
    sink::{JsonLines, NullSink, Sink},
    source::Pacing,
    telemetry::{Telemetry, logging::LogLines},
    view::{LiveView, Summary},
};

/// How often the end of finite sources is looked for.
const FINISHED_POLL: Duration = Duration::from_millis(100);

/// How long open HTTP requests may take to end.
const SERVER_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the sources are told as lines where the view has no terminal.
const LINES_INTERVAL: Duration = Duration::from_secs(1);

/// Why `run` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing that was named can be used; each problem on a line of its own.
    #[error("{0}")]
    Manifests(String),
    /// A URI on the command line cannot be used.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The model of a command line cannot be used.
    #[error(transparent)]
    Model(#[from] ModelArgumentError),
    /// A folder cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The HTTP server cannot start.
    #[error("--listen: {0}")]
    Listen(#[from] ApiError),
    /// A thread or the terminal cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// A source ended without having reported an object.
    #[error("--require-detections: no object was reported by {0}")]
    NoDetections(String),
    /// An output failed before the end.
    #[error("{0}")]
    Output(String),
}

/// Runs until every source has come to its end, `--max-duration` has passed, or `stop` is requested.
///
/// # Errors
/// Why it cannot start, or what went wrong by the end.
pub async fn run(args: &RunArgs, stop: &StopRequest, logs: LogLines) -> Result<ExitCode, RunError> {
    let telemetry = Arc::new(Telemetry::default());
    let (desired, mut watcher) = desired_at_start(args)?;
    let engine = Arc::new(NativeEngine::new(NativeSettings::default())?);
    let output: Box<dyn Sink> =
        if args.view { Box::new(NullSink) } else { Box::new(JsonLines::live("standard output", io::stdout())?) };
    let health = Arc::new(Health::default());
    let server = Server::start(args.listen, Arc::clone(&telemetry), Arc::clone(&health)).await?;
    info!(address = %server.address(), "metrics at /metrics");
    let mut pod = Pod::start(PodSettings {
        engine,
        sinks: vec![output],
        pacing: Pacing::Live,
        tap: None,
        telemetry: Arc::clone(&telemetry),
    })?;
    let view = args.view.then(|| view(&telemetry, logs)).transpose()?;
    pod.apply(&desired).await;
    health.set_started();

    follow(args, stop, &mut pod, watcher.as_mut()).await;

    health.set_stopping();
    let end = pod.shut_down().await;
    server.stop(SERVER_TIMEOUT).await;
    drop(view);
    let summary = Summary::of(&telemetry);
    eprint!("{summary}");
    if let Some(failure) = end.failures.iter().find(|failure| !failure.is_reader_gone()) {
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

/// Follows the manifests until there is a reason to end.
async fn follow(args: &RunArgs, stop: &StopRequest, pod: &mut Pod, mut watcher: Option<&mut Watcher>) {
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
            match watcher.as_mut() {
                Some(watcher) => watcher.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.requested() => return,
            () = &mut deadline => return,
            Ok(()) = outputs.changed() => return,
            Some(loaded) = change => {
                report(&loaded);
                pod.apply(&loaded.state).await;
            }
            () = sleep(FINISHED_POLL), if pod.is_finished() => return,
        }
    }
}

/// What to run at first, and what tells of changes.
fn desired_at_start(args: &RunArgs) -> Result<(DesiredState, Option<Watcher>), RunError> {
    if args.files.is_empty() {
        return Ok((from_uris(args)?, None));
    }
    let (loaded, watcher) = Watcher::start(&args.files)?;
    report(&loaded);
    let nothing_good = loaded.state.sources.is_empty();
    if nothing_good && !loaded.errors.is_empty() {
        return Err(RunError::Manifests(lines(&loaded)));
    }
    if nothing_good {
        warn!("there is no VideoSource yet; waiting for one");
    }
    Ok((loaded.state, Some(watcher)))
}

fn from_uris(args: &RunArgs) -> Result<DesiredState, RunError> {
    let model = models::named(&args.model)?;
    let mut sources = BTreeMap::new();
    for source in assign::from_uris(&args.uris, &model.name)? {
        sources.insert(source.key.clone(), source);
    }
    let key = sources.values().next().map(DesiredSource::model_key).into_iter();
    Ok(DesiredState { models: key.map(|key| (key, model.clone())).collect(), sources })
}

fn report(loaded: &Loaded) {
    for problem in &loaded.errors {
        error!("{problem}");
    }
}

fn lines(loaded: &Loaded) -> String {
    loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn view(telemetry: &Arc<Telemetry>, logs: LogLines) -> io::Result<LiveView> {
    if io::stdout().is_terminal() {
        LiveView::on_terminal(Arc::clone(telemetry), logs)
    } else {
        LiveView::as_lines(Arc::clone(telemetry), io::stdout(), LINES_INTERVAL)
    }
}
