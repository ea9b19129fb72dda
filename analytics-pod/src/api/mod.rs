//! The pod's HTTP server: REST, metrics and probes.
//!
//! A request goes through [`exchange`] (limits, token, correlation id), [`routes`] (which endpoint), and [`handlers`]
//! (what it does); what it is told is in [`answers`], why it fails in [`problem`].

pub mod answers;
mod blocking;
mod config;
mod exchange;
mod frame;
mod handlers;
mod health;
mod message;
mod openapi;
mod pod_status;
mod problem;
mod routes;
#[cfg(test)]
mod tests;
mod token;
mod unique;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

pub use health::{Health, HealthReport, SourceHealth, Verdict};
pub(crate) use openapi::listed_schemas;
pub use pod_status::{MemoryUse, PodStatus, SourceCounts};
pub use problem::{FieldProblem, Problem};
pub(crate) use routes::is_taken_path;
pub use token::{Token, TokenError};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    assign::rest::Registry,
    config::Store,
    pod::{FrameRequests, Models},
    telemetry::Telemetry,
};

/// What requests are answered from, and what they change.
pub struct Services {
    /// Counters.
    pub telemetry: Arc<Telemetry>,
    /// Where the pod is in its life.
    pub health: Arc<Health>,
    /// Sources and models that are declared and made.
    pub registry: Arc<Registry>,
    /// The configuration in force.
    pub config: Arc<Store>,
    /// How far the models are.
    pub models: Models,
    /// Where to ask for frames.
    pub frames: FrameRequests,
    /// What decodes and detects.
    pub engine: &'static str,
    /// Processor cores that the pod may use.
    pub cores: usize,
    /// What requests to `/api` must carry; `None`: nothing.
    pub token: Option<Arc<Token>>,
    /// The path of the metrics.
    pub metrics_path: String,
    /// The longest document that is taken, in bytes.
    pub max_body: usize,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Another process listens there.
    #[error("{address} is in use by another process; choose another address, or port 0 for any free one")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

/// The running server. Dropping it ends it at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` (port 0: any free one) and answers from `services`.
    pub async fn start(address: SocketAddr, services: Services) -> Result<Self, ApiError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ApiError::InUse { address },
            _ => ApiError::Bind { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        // An error means that the sender was dropped, which asks for the same.
        let server = warp::serve(exchange::filter(Arc::new(services), address.ip().is_loopback()))
            .incoming(listener)
            .graceful(async move { drop(stopped.await) });
        Ok(Self { address, stop, task: tokio::spawn(server.run()) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and lets the requests under way finish, for `timeout` at the most.
    pub async fn stop(self, timeout: Duration) {
        let Self { stop, mut task, .. } = self;
        drop(stop);
        if tokio::time::timeout(timeout, &mut task).await.is_err() {
            task.abort();
        }
    }
}
