//! Why TLS does not come about with a server that can be connected to. GStreamer's clients tell it from no other failure.

use std::{net::TcpStream, sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;

/// For each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What became of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It was made, or nothing is known.
    Fine,
    /// The certificate is not trusted by this machine; why, in words.
    Untrusted(String),
    /// What answers there does not speak TLS.
    NoTls,
}

/// Makes one over a connection to `host`, with what this machine trusts.
pub(super) fn shake_hands(host: &str, mut connection: TcpStream) -> Handshake {
    let Some(mut client) = client(host) else { return Handshake::Fine };
    let timeouts = connection.set_read_timeout(Some(TIMEOUT)).and(connection.set_write_timeout(Some(TIMEOUT)));
    let Err(error) = timeouts.and_then(|()| client.complete_io(&mut connection)) else { return Handshake::Fine };
    let error = error.into_inner().and_then(|error| error.downcast::<rustls::Error>().ok());
    match error.as_deref() {
        Some(rustls::Error::InvalidCertificate(why)) => Handshake::Untrusted(why.to_string()),
        Some(rustls::Error::InvalidMessage(_)) => Handshake::NoTls,
        _ => Handshake::Fine,
    }
}

fn client(host: &str) -> Option<ClientConnection> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = versions.with_platform_verifier().ok()?.with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned()).ok()?).ok()
}
