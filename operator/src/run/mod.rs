//! `operator run`: everything between the pure rooms and an API server.
//!
//! ```text
//!  watches ──▶ World ──▶ index ──▶ plan ──▶ status, changes ──▶ Writer ──▶ API server
//!  pods ─────▶ Poller ──┘                                          │
//!              World ◀──────────────── what it was answered ───────┘
//! ```

mod control;
mod flags;
mod http;
mod logging;

use std::{sync::Arc, time::Duration};

use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    apply::{Events, Writer},
    certificates::{Issuer, StoreError},
    clock,
    leader::Leadership,
    metrics::Metrics,
    poll::Poller,
    watch::{self, Scope},
};

pub use flags::{Flags, LogFormat};

/// A write that was not answered by then has failed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the CA is looked after.
const CERTIFICATES: Duration = Duration::from_secs(6 * 3_600);

/// How often the CA is asked for until it can be had.
const CERTIFICATES_RETRY: Duration = Duration::from_secs(2);

/// How long everything may take to end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag cannot be used.
    #[error("{0}")]
    Flag(String),
    /// The log cannot be set up.
    #[error("--log-level: {0}; it should look like `info` or `warn,operator=debug`")]
    Logging(String),
    /// There is no API server to talk to.
    #[error("no API server: {0}; in a cluster the pod needs a ServiceAccount, elsewhere set KUBECONFIG")]
    Kubernetes(String),
    /// The port cannot be had.
    #[error("--listen {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The runtime or the metrics cannot be set up.
    #[error("{0}")]
    Setup(String),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(flags: &Flags) -> Result<(), RunError> {
    logging::start(&flags.log_level, flags.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| RunError::Setup(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: &Flags) -> Result<(), RunError> {
    let settings = Arc::new(flags.settings()?);
    let config = Config::infer().await.map_err(|error| RunError::Kubernetes(error.to_string()))?;
    let client = client(config.clone())?;
    let writing = client_with_timeouts(config)?;
    let metrics = Arc::new(Metrics::new().map_err(|error| RunError::Setup(error.to_string()))?);
    let listener = TcpListener::bind(flags.listen)
        .await
        .map_err(|source| RunError::Listen { address: flags.listen.to_string(), source })?;
    let stop = stop_on_signals()?;
    let tasks = TaskTracker::new();
    let scope = Scope { namespaces: flags.watch_namespaces.clone(), nodes: settings.gate_evictions };
    info!(
        version = env!("CARGO_PKG_VERSION"), namespaces = ?scope.namespaces, nodes = scope.nodes,
        address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default(), "the operator starts"
    );
    let health = Arc::new(http::Health::default());
    tasks.spawn(http::serve(listener, metrics.clone(), health.clone(), stop.clone()));
    let world = watch::start(&client, &scope, &metrics, &tasks, &stop);
    // The Lease outlives the writes: it is let go of once nothing is written any more.
    let written = CancellationToken::new();
    let leadership =
        Leadership::stand(&writing, &flags.namespace, &flags.lease, &flags.identity, &world, &tasks, &written);
    if let Some(issuer) = open_issuer(&writing, flags, &health, &stop).await {
        let issuer = Arc::new(issuer);
        tasks.spawn(look_after(issuer.clone(), stop.clone()));
        let poller = Poller::new(issuer.tls(), world.clone(), metrics.clone());
        let events = Events::start(&writing, &flags.identity, &metrics, &tasks, &stop);
        let writer = Writer::new(writing, world.clone(), settings.clone(), issuer, metrics.clone(), events);
        let control = control::Control::new(world, settings, leadership, poller, writer, metrics, health);
        control.run(&stop).await;
    }
    written.cancel();
    tasks.close();
    if tokio::time::timeout(SHUTDOWN, tasks.wait()).await.is_err() {
        warn!("not everything has ended in time");
    }
    info!("the operator has ended");
    Ok(())
}

fn client(config: Config) -> Result<Client, RunError> {
    Client::try_from(config).map_err(|error| RunError::Kubernetes(error.to_string()))
}

fn client_with_timeouts(mut config: Config) -> Result<Client, RunError> {
    config.connect_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(WRITE_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    client(config)
}

fn stop_on_signals() -> Result<CancellationToken, RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| RunError::Setup(format!("signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// The CA, as soon as it can be had; nothing if the operator ends before.
async fn open_issuer(
    client: &Client,
    flags: &Flags,
    health: &http::Health,
    stop: &CancellationToken,
) -> Option<Issuer> {
    let mut warned = false;
    loop {
        health.beat();
        let opening = Issuer::open(client, &flags.namespace, &flags.ca_secret, clock::now().as_second());
        let error: StoreError = tokio::select! {
            opened = opening => match opened {
                Ok(issuer) => return Some(issuer),
                Err(error) => error,
            },
            () = stop.cancelled() => return None,
        };
        if !warned {
            warned = true;
            warn!(%error, "the CA cannot be had; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATES_RETRY) => {}
            () = stop.cancelled() => return None,
        }
    }
}

/// Renews the operator's certificate, and the CA when it is time to.
async fn look_after(issuer: Arc<Issuer>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATES) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = issuer.refresh(clock::now().as_second()).await {
            warn!(%error, "the certificates cannot be renewed; it is tried again");
        }
    }
}
