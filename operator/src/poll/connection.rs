//! One question to one pod.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use crds::report::{self, PodReport};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsConnector;

/// The largest report that is read, in bytes; one of 1,000 sources has about 400,000.
const LARGEST: usize = 8 * 1024 * 1024;

/// A connection that is kept from question to question.
pub(super) type Connection = Option<http1::SendRequest<Empty<Bytes>>>;

/// Why a pod did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read to its end: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is no report: {0}")]
    Report(#[from] serde_json::Error),
    #[error("no answer within a second")]
    Timeout,
}

impl Error {
    /// For metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Http(_) | Self::Body(_) => "http",
            Self::Status(_) => "status",
            Self::Report(_) => "report",
            Self::Timeout => "timeout",
        }
    }
}

/// Asks over `connection`, made anew where there is none.
pub(super) async fn ask(
    connection: &mut Connection,
    address: SocketAddr,
    host: &ServerName<'static>,
    tls: &watch::Receiver<Arc<ClientConfig>>,
) -> Result<PodReport, Error> {
    let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => {
            let tls = tls.borrow().clone();
            connect(address, host, tls).await?
        }
    };
    sender.ready().await?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = hyper::Uri::from_static(report::PATH);
    if let Ok(value) = host.to_str().parse() {
        request.headers_mut().insert(HOST, value);
    }
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(Error::Body)?.to_bytes();
    let report = serde_json::from_slice(&body)?;
    *connection = Some(sender);
    Ok(report)
}

async fn connect(
    address: SocketAddr,
    host: &ServerName<'static>,
    tls: Arc<ClientConfig>,
) -> Result<http1::SendRequest<Empty<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let stream = TlsConnector::from(tls).connect(host.clone(), stream).await.map_err(Error::Tls)?;
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, or with the connection.
    tokio::spawn(driver);
    Ok(sender)
}
