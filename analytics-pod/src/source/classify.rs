//! From what GStreamer says to a [`Failure`]: a stable word, and a sentence that names the remedy.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use gstreamer::{self as gst, glib};

use super::{Failure, Reason, bounded::within, origin::Origin};
use certificate::Handshake;

mod certificate;

/// RTSP: the server does not offer the transport that was asked for (RFC 2326 11.3.11).
pub(super) const UNSUPPORTED_TRANSPORT: u32 = 461;
/// For telling why a connection failed.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(3);
/// For the connection alone: the first try has waited for seconds already.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A certificate, and what to do about it.
const UNTRUSTED: &str = "the server's TLS certificate is not trusted; add its authority to the system's, or set \
                         transport.insecureSkipTLSVerify where nobody can be in between";

/// What GStreamer says of a failure.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) error: glib::Error,
    pub(super) debug: String,
    /// The server's answer, where there was one.
    pub(super) status: Option<u32>,
    /// The plug-in that is missing, in words.
    pub(super) missing: Option<String>,
}

impl Report {
    pub(super) fn new(error: glib::Error, debug: &str, details: Option<&gst::StructureRef>) -> Self {
        let detail = |name| details.and_then(|details| details.get::<u32>(name).ok());
        let status = detail("rtsp-status-code")
            .or_else(|| detail("http-status-code"))
            .filter(|status| is_error_status(*status))
            // GStreamer before 1.18 has it in the text only.
            .or_else(|| status_in(debug))
            // What rtspsrc makes of this status, once every stream has answered with it.
            .or_else(|| error.message().contains("No supported stream was found").then_some(UNSUPPORTED_TRANSPORT));
        Self { error, debug: debug.to_owned(), status, missing: None }
    }

    fn mentions(&self, words: &[&str]) -> bool {
        let text = format!("{} {}", self.error.message(), self.debug).to_lowercase();
        words.iter().any(|word| text.contains(word))
    }
}

const fn is_error_status(status: u32) -> bool {
    matches!(status, 300..=599)
}

/// An error status in parentheses, as in `Unauthorized (401)`; the line number in `gstrtspsrc.c(401)` is none.
fn status_in(text: &str) -> Option<u32> {
    text.split(" (").skip(1).find_map(|rest| {
        let (inner, _) = rest.split_once(')')?;
        (inner.len() == 3).then(|| inner.parse().ok()).flatten().filter(|status| is_error_status(*status))
    })
}

/// What became of the input at `origin`.
pub(super) fn classify(report: &Report, origin: &Origin) -> Failure {
    let uri = &origin.uri;
    if let Some(status) = report.status {
        return by_status(status, origin);
    }
    if let Some(missing) = &report.missing {
        let missing = origin.redact(missing);
        return Failure::new(
            Reason::MissingElement,
            format!(
                "{uri}: no GStreamer plug-in is installed for {missing}; install gstreamer1.0-plugins-good, \
                 gstreamer1.0-plugins-bad or gstreamer1.0-libav"
            ),
        );
    }
    let (reason, sentence) = by_text(report, origin)
        .or_else(|| by_resource(report, origin))
        .or_else(|| by_stream(report, origin))
        .unwrap_or((Reason::PipelineFailed, "failed"));
    let said = origin.redact(report.error.message());
    Failure::new(reason, format!("{uri}: {sentence} (GStreamer: {})", said.trim_end_matches('.')))
}

fn by_status(status: u32, origin: &Origin) -> Failure {
    let uri = &origin.uri;
    let (reason, sentence) = match status {
        401 | 407 if origin.login => (
            Reason::AuthenticationFailed,
            "the server refuses the user name or the password; correct them in the Secret that credentialsSecretRef names, or \
             in the credentials of a source that was made over HTTP",
        ),
        401 | 407 => (
            Reason::AuthenticationFailed,
            "the server asks for a login; name a Secret with username and password in credentialsSecretRef",
        ),
        300..=399 if origin.login => (
            Reason::PipelineFailed,
            "the server redirects, which is not followed with a password; use the final address",
        ),
        403 => (Reason::PermissionDenied, "the server forbids access; check the account's rights and the path"),
        404 | 410 => (Reason::NotFound, "the server has no such stream; check the path of the URI"),
        408 | 504 => (Reason::Timeout, "the server took too long"),
        454 => (Reason::ConnectionLost, "the server no longer knows the session; it restarted, or ended it"),
        453 | 503 => (Reason::HostUnreachable, "the server is overloaded or has too many viewers"),
        UNSUPPORTED_TRANSPORT => (
            Reason::Unsupported,
            "the server does not offer this transport; set transport.protocol to Auto, TCP or UDP as it does",
        ),
        _ => (Reason::PipelineFailed, "the server refuses the request"),
    };
    Failure::new(reason, format!("{uri}: {sentence} (status {status})"))
}

/// Where GStreamer's error code says less than its words.
fn by_text(report: &Report, origin: &Origin) -> Option<(Reason, &'static str)> {
    let network = origin.network;
    Some(if report.mentions(&["error binding", "bind failed"]) {
        if report.mentions(&["permission denied"]) {
            (Reason::PermissionDenied, "this process may not listen on this port; take one above 1023")
        } else if report.mentions(&["in use"]) {
            (Reason::PermissionDenied, "another program listens on this port; end it, or take another port")
        } else {
            (Reason::NotFound, "this machine has no such address; listen on 0.0.0.0, or on an address that it has")
        }
    } else if report.mentions(&["failed to authenticate"]) {
        (
            Reason::AuthenticationFailed,
            "the other side has another passphrase, or none; correct the password in the Secret that \
             credentialsSecretRef names",
        )
    } else if report.mentions(&["v4l2 driver", "not a capture device", "cannot capture", "not an output device"]) {
        (Reason::NotFound, "the device is none that captures video; see `v4l2-ctl --list-devices`")
    } else if report.mentions(&["udp packets"]) {
        (
            Reason::NoFrames,
            "the server plays, but no UDP packet arrives; open the firewall or set transport.protocol to TCP",
        )
    } else if report.mentions(&["tls", "certificate", "ssl"]) && network {
        if report.mentions(&["not available", "not supported", "backend"]) {
            (Reason::MissingElement, "TLS is not installed; install the package glib-networking")
        } else {
            (Reason::CertificateUntrusted, UNTRUSTED)
        }
    } else if report.mentions(&["not-negotiated", "not negotiated"]) {
        (Reason::UnsupportedCodec, "the video is in a format that this pod cannot read")
    } else if report.mentions(&["not-linked"]) {
        (Reason::UnsupportedCodec, "there is no video in it that this pod can read")
    } else if report.mentions(&["resolv"]) && network {
        (Reason::HostUnreachable, "the host name cannot be resolved; check its spelling and the DNS")
    } else if report.mentions(&["timeout", "timed out", "time-out"]) {
        (Reason::Timeout, "the server does not answer in time")
    } else if report.mentions(&["parse error", "invalid response"]) && network {
        (Reason::CorruptStream, "what answers there does not speak the protocol of the URI; check the port")
    } else {
        return None;
    })
}

fn by_resource(report: &Report, origin: &Origin) -> Option<(Reason, &'static str)> {
    let network = origin.network;
    Some(match report.error.kind::<gst::ResourceError>()? {
        gst::ResourceError::NotFound => (Reason::NotFound, "it is not there"),
        gst::ResourceError::NotAuthorized => (Reason::AuthenticationFailed, "the server refuses access"),
        gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite | gst::ResourceError::OpenWrite if network => {
            (Reason::HostUnreachable, "no connection to the server")
        }
        gst::ResourceError::OpenRead => (Reason::PermissionDenied, "it cannot be opened"),
        gst::ResourceError::Read | gst::ResourceError::Write | gst::ResourceError::Close if network => {
            (Reason::ConnectionLost, "the connection broke")
        }
        gst::ResourceError::Read | gst::ResourceError::Seek => (Reason::CorruptStream, "it cannot be read to its end"),
        _ => return None,
    })
}

fn by_stream(report: &Report, origin: &Origin) -> Option<(Reason, &'static str)> {
    if report.error.matches(gst::CoreError::MissingPlugin) {
        return Some((Reason::MissingElement, "a GStreamer plug-in for it is not installed"));
    }
    Some(match report.error.kind::<gst::StreamError>()? {
        gst::StreamError::CodecNotFound => (Reason::UnsupportedCodec, "it holds no video that this pod can read"),
        gst::StreamError::TypeNotFound | gst::StreamError::WrongType => {
            (Reason::CorruptStream, "the bytes are in no video format that is known here")
        }
        gst::StreamError::Demux | gst::StreamError::Decode | gst::StreamError::Format => {
            (Reason::CorruptStream, "the file or stream is damaged")
        }
        gst::StreamError::Decrypt | gst::StreamError::DecryptNokey => (Reason::UnsupportedCodec, "it is encrypted"),
        // All that souphttpsrc says of a connection that it could not make, or that broke.
        gst::StreamError::Failed if origin.network => {
            (Reason::ConnectionLost, "the server broke the connection, or did not answer in time")
        }
        gst::StreamError::Failed => (Reason::CorruptStream, "its data cannot be read on"),
        _ => return None,
    })
}

/// GStreamer does not say why a connection failed before anything came over it; a second try by hand does. Gives
/// `failure` back where that one succeeds or takes too long.
pub(super) fn diagnose(failure: Failure, origin: &Origin) -> Failure {
    let unexplained =
        matches!(failure.reason, Reason::HostUnreachable | Reason::ConnectionLost | Reason::CertificateUntrusted);
    let Some((host, port)) = origin.address.clone().filter(|_| unexplained) else { return failure };
    let uri = &origin.uri;
    let must_be_trusted = origin.certificate;
    let connected = within("source-diagnosis", DIAGNOSIS_TIMEOUT, move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map_err(|_| Connection::UnknownName)?;
        let mut result = Err(Connection::UnknownName);
        for address in addresses {
            result = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(Connection::Failed);
            if result.is_ok() {
                break;
            }
        }
        let connection = result?;
        Ok(if must_be_trusted { certificate::shake_hands(&host, connection) } else { Handshake::Fine })
    });
    let sentence = match connected {
        Some(Err(Connection::UnknownName)) => {
            "the host name cannot be resolved; check its spelling and the DNS".to_owned()
        }
        Some(Err(Connection::Failed(error))) => match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "the host refuses the connection; check the port and that the server runs".to_owned()
            }
            io::ErrorKind::TimedOut => {
                let message = format!("{uri}: the host does not answer; check its address, power and the firewall");
                return Failure::new(Reason::Timeout, message);
            }
            _ => format!("no connection: {error}"),
        },
        Some(Ok(Handshake::Untrusted(why))) => {
            return Failure::new(Reason::CertificateUntrusted, format!("{uri}: {UNTRUSTED} ({why})"));
        }
        Some(Ok(Handshake::NoTls)) => {
            "the host answers, but not by TLS; check the port, or write the scheme without the s".to_owned()
        }
        Some(Ok(Handshake::Fine)) | None => return failure,
    };
    Failure::new(Reason::HostUnreachable, format!("{uri}: {sentence}"))
}

enum Connection {
    UnknownName,
    Failed(io::Error),
}

#[cfg(test)]
mod tests;
