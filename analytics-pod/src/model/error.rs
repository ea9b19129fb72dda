//! Why a model cannot be used, with what the user can do about it.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use super::digest::Digest;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// ONNX Runtime's library is missing or does not fit.
    #[error(transparent)]
    Runtime(#[from] super::runtime::RuntimeError),
    /// The argument names no model.
    #[error(
        "`{argument}` names no model: give a path that ends in .onnx, a DetectionModel manifest, or one of the \
         built-in models ({builtin})"
    )]
    UnknownModel {
        /// What was asked for.
        argument: String,
        /// What there is.
        builtin: String,
    },
    /// The program carries no model of this name.
    #[error("model {model}: there is no built-in model `{builtin}` (spec.source.builtin); there are: {known}")]
    UnknownBuiltin {
        /// The model.
        model: Arc<str>,
        /// What was asked for.
        builtin: String,
        /// What there is.
        known: String,
    },
    /// A file cannot be read or written.
    #[error("model {model}: {action} {}: {source}", path.display())]
    File {
        /// The model.
        model: Arc<str>,
        /// What was tried (`cannot read`).
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not the one that was asked for.
    #[error(
        "model {model}: {origin} is not the expected file: expected {expected}, found {actual}; if the new file is \
         wanted, change spec.source.sha256"
    )]
    WrongDigest {
        /// The model.
        model: Arc<str>,
        /// Where it came from.
        origin: String,
        /// What the manifest says.
        expected: Digest,
        /// What was found.
        actual: Digest,
    },
    /// The download failed for good.
    #[error("model {model}: cannot fetch {origin}: {message}")]
    Fetch {
        /// The model.
        model: Arc<str>,
        /// Where it was to come from, without secrets.
        origin: String,
        /// Why.
        message: String,
    },
    /// The file cannot be understood as an ONNX model.
    #[error("model {model}: {origin} is not an ONNX model: {message}")]
    NotOnnx {
        /// The model.
        model: Arc<str>,
        /// The file.
        origin: String,
        /// Why.
        message: String,
    },
    /// The file is an ONNX model, but not a detector that can be read; or more must be said of it.
    #[error("model {model}: {message}")]
    Unclear {
        /// The model.
        model: Arc<str>,
        /// What is unclear, and which field settles it.
        message: String,
    },
    /// The manifest asks for what this file or this build cannot do.
    #[error("model {model}: {field}: {message}")]
    Refused {
        /// The model.
        model: Arc<str>,
        /// The manifest's field.
        field: Cow<'static, str>,
        /// Why, and what to do.
        message: String,
    },
    /// ONNX Runtime refused the model or its first run failed.
    #[error("model {model}: {message}")]
    Inference {
        /// The model.
        model: Arc<str>,
        /// What the runtime said.
        message: String,
    },
}

impl ModelError {
    /// The kind of failure as a stable word.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Runtime(_) => "RuntimeUnavailable",
            Self::UnknownModel { .. } | Self::UnknownBuiltin { .. } => "Unknown",
            Self::File { .. } => "FileUnusable",
            Self::WrongDigest { .. } => "WrongDigest",
            Self::Fetch { .. } => "FetchFailed",
            Self::NotOnnx { .. } => "NotOnnx",
            Self::Unclear { .. } => "Unclear",
            Self::Refused { .. } => "Refused",
            Self::Inference { .. } => "InferenceFailed",
        }
    }
}
