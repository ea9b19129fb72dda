//! Why an attempt at a source ended, as a stable word and a sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable word for why an attempt ended. Appears in status, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// The server asked for a login, or refused the one it was given.
    AuthenticationFailed,
    /// No connection: refused, no route, unknown name.
    HostUnreachable,
    /// The server's TLS certificate is not trusted.
    CertificateUntrusted,
    /// Connected, but no answer in time.
    Timeout,
    /// The server or file system does not have it.
    NotFound,
    /// The input is there but this pod may not read it.
    PermissionDenied,
    /// What arrives is not a video this pod can read.
    UnsupportedCodec,
    /// The bytes make no sense.
    CorruptStream,
    /// Connected, but no frame came within the stall timeout.
    NoFrames,
    /// The server ended the stream.
    StreamEnded,
    /// The connection broke in mid-stream.
    ConnectionLost,
    /// The URI's scheme is known but cannot be read here.
    Unsupported,
    /// A GStreamer element that the input needs is not installed.
    MissingElement,
    /// The source's model cannot be fetched or opened.
    ModelUnavailable,
    /// The pipeline failed in a way that has no word of its own.
    PipelineFailed,
}

impl Reason {
    /// All of them, in their order.
    pub const ALL: [Self; 15] = [
        Self::AuthenticationFailed,
        Self::HostUnreachable,
        Self::CertificateUntrusted,
        Self::Timeout,
        Self::NotFound,
        Self::PermissionDenied,
        Self::UnsupportedCodec,
        Self::CorruptStream,
        Self::NoFrames,
        Self::StreamEnded,
        Self::ConnectionLost,
        Self::Unsupported,
        Self::MissingElement,
        Self::ModelUnavailable,
        Self::PipelineFailed,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::HostUnreachable => "HostUnreachable",
            Self::CertificateUntrusted => "CertificateUntrusted",
            Self::Timeout => "Timeout",
            Self::NotFound => "NotFound",
            Self::PermissionDenied => "PermissionDenied",
            Self::UnsupportedCodec => "UnsupportedCodec",
            Self::CorruptStream => "CorruptStream",
            Self::NoFrames => "NoFrames",
            Self::StreamEnded => "StreamEnded",
            Self::ConnectionLost => "ConnectionLost",
            Self::Unsupported => "Unsupported",
            Self::MissingElement => "MissingElement",
            Self::ModelUnavailable => "ModelUnavailable",
            Self::PipelineFailed => "PipelineFailed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an attempt at a source ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The stable word.
    pub reason: Reason,
    /// A sentence for a person, with the remedy where there is one; never holds credentials.
    pub message: String,
}

impl Failure {
    /// A failure from its two parts.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_a_remedy_for_each() {
        assert!(Reason::ALL.into_iter().enumerate().all(|(index, reason)| index == reason as usize));
        assert_eq!(Reason::PipelineFailed as usize + 1, Reason::ALL.len());
        let readme = include_str!("../../../README.md");
        let (_, remedies) = readme.split_once("| reason | usually | remedy |").unwrap_or_default();
        for reason in Reason::ALL {
            assert!(remedies.contains(&format!("`{reason}`")), "{reason}");
        }
        for message in ["is in use by another process", "is in use by another pod", "there is no space left for"] {
            assert!(remedies.contains(message), "{message}");
        }
    }
}
