//! Why a pod does not run, or no longer.

use std::{io, path::PathBuf};

use super::{chaos, config::ConfigCommandError, models::ModelArgumentError};
use crate::{
    api::{ApiError, TokenError},
    assign::{WatchError, rest::FolderError},
};

/// Why `run` cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing that was named can be used; each problem on a line of its own.
    #[error("{0}")]
    Manifests(String),
    /// What the configuration lists cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigCommandError),
    /// The model of a command line cannot be used.
    #[error(transparent)]
    Model(#[from] ModelArgumentError),
    /// The model of a command line cannot be opened.
    #[error("--model: {0}")]
    ModelUnavailable(String),
    /// A folder cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The state folder cannot be used.
    #[error("stateFolder (--state-folder): {0}")]
    State(#[from] FolderError),
    /// The file of the token cannot be used.
    #[error("api.tokenFile (--api-token-file): {0}")]
    Token(#[from] TokenError),
    /// The HTTP server cannot start.
    #[error("listen (--listen): {0}")]
    Listen(#[from] ApiError),
    /// A thread or the terminal cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// `--chaos` cannot be run.
    #[error("--chaos: {0}")]
    Chaos(#[from] chaos::ChaosError),
    /// A source ended without having reported an object.
    #[error("--require-detections: no object was reported by {0}")]
    NoDetections(String),
    /// Both would write on one screen.
    #[error("outputs: stdout cannot be used with --view; name a file (`--output file:PATH`)")]
    ScreenIsTaken,
    /// An output cannot be opened.
    #[error("outputs (--output): {} cannot be written: {source}", path.display())]
    OutputFile {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Two outputs would write into each other.
    #[error("{first} and {second} are the same file, {}; name another one", path.display())]
    SameFile {
        /// The key of one.
        first: &'static str,
        /// The key of the other.
        second: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The figures of the run could not be written.
    #[error("statistics.file (--stats-file): {} cannot be written: {source}", path.display())]
    Statistics {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// An output failed before the end.
    #[error("{0}")]
    Output(String),
}
