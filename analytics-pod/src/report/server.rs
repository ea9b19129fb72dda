//! Answers the operator, and nobody without a certificate of its own.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use crds::report::{PATH, PodReport};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{certificates::Certificates, reporter::Reporter};

/// How long a handshake, or the head of a request, may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without a request for this long is closed; the operator asks every second.
const IDLE: Duration = Duration::from_mins(1);

/// Connections side by side: two operators in the middle of a change of leader, and room for strangers.
const CONNECTIONS: usize = 64;

/// Why the report cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ReportServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

/// The running server. Dropping it ends it at once.
pub struct ReportServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for ReportServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReportServer {
    /// Listens on `address` (port 0: any free one) and answers with what `reporter` says at that moment.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn start(
        address: SocketAddr,
        certificates: Certificates,
        reporter: Arc<Reporter>,
    ) -> Result<Self, ReportServerError> {
        let failed = |source| ReportServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, task: tokio::spawn(listen(listener, certificates, reporter)) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn listen(listener: TcpListener, certificates: Certificates, reporter: Arc<Reporter>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (connection, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, for one; it passes or it does not, and must not take a core meanwhile.
                debug!(%error, "no connection can be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (acceptor, reporter) = (TlsAcceptor::from(certificates.current()), Arc::clone(&reporter));
        tokio::spawn(async move {
            if let Err(error) = serve(connection, acceptor, &reporter).await {
                debug!(%peer, %error, "a connection for the report has ended");
            }
            drop(place);
        });
    }
}

async fn serve(connection: TcpStream, acceptor: TlsAcceptor, reporter: &Reporter) -> io::Result<()> {
    let stream = timeout(TIMEOUT, acceptor.accept(connection)).await??;
    let service =
        service_fn(|request: Request<Incoming>| async move { Ok::<_, Infallible>(answer(&request, reporter)) });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

fn answer(request: &Request<Incoming>, reporter: &Reporter) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    let report: PodReport = reporter.report();
    match serde_json::to_vec(&report) {
        Ok(body) => {
            let mut response = Response::new(Full::new(body.into()));
            response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
