//! The pod's HTTP server: metrics and probes.

mod health;
mod routes;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

pub use health::Health;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::telemetry::Telemetry;

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
    /// Listens on `address` (port 0: any free one) and answers `/metrics`, `/livez`, `/readyz` and `/startupz`.
    pub async fn start(address: SocketAddr, telemetry: Arc<Telemetry>, health: Arc<Health>) -> Result<Self, ApiError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ApiError::InUse { address },
            _ => ApiError::Bind { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        // An error means that the sender was dropped, which asks for the same.
        let server =
            warp::serve(routes::all(telemetry, health)).incoming(listener).graceful(async move { drop(stopped.await) });
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use super::*;
    use crate::observation::SourceKey;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// The status line and the rest of the answer to a GET.
    async fn get(address: SocketAddr, path: &'static str) -> (String, String) {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (status, rest) = answer.split_once("\r\n").unwrap();
            (status.to_owned(), rest.to_owned())
        })
        .await
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn probes_follow_the_pod() {
        let health = Arc::<Health>::default();
        let server = Server::start(LOOPBACK, Arc::default(), Arc::clone(&health)).await.unwrap();
        let status = async |path| get(server.address(), path).await.0;
        assert_eq!(status("/livez").await, "HTTP/1.1 200 OK");
        assert_eq!(status("/startupz").await, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(status("/readyz").await, "HTTP/1.1 503 Service Unavailable");
        health.set_started();
        assert_eq!(status("/startupz").await, "HTTP/1.1 200 OK");
        assert_eq!(status("/readyz").await, "HTTP/1.1 200 OK");
        health.set_stopping();
        assert_eq!(status("/readyz").await, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(status("/livez").await, "HTTP/1.1 200 OK");
        assert_eq!(status("/nothing").await, "HTTP/1.1 404 Not Found");
        server.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn metrics_are_those_of_the_registry() {
        let telemetry = Arc::<Telemetry>::default();
        telemetry.add_source(&SourceKey::new("shop", "gate")).count_received(1);
        let server = Server::start(LOOPBACK, Arc::clone(&telemetry), Arc::default()).await.unwrap();
        let (status, answer) = get(server.address(), "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains(r#"vision_pod_frames_received_total{namespace="shop",source="gate"} 1"#), "{answer}");
        server.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_port_in_use_is_said_so() {
        let first = Server::start(LOOPBACK, Arc::default(), Arc::default()).await.unwrap();
        let error = Server::start(first.address(), Arc::default(), Arc::default()).await.unwrap_err();
        assert!(matches!(error, ApiError::InUse { address } if address == first.address()), "{error}");
        first.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_idle_connection_does_not_hold_up_the_end() {
        let server = Server::start(LOOPBACK, Arc::default(), Arc::default()).await.unwrap();
        let connection = TcpStream::connect(server.address()).unwrap();
        let stopped = tokio::time::timeout(Duration::from_secs(10), server.stop(Duration::from_millis(100))).await;
        assert!(stopped.is_ok());
        drop(connection);
    }
}
