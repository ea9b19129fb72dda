//! What tests of the operator need beside it: a real control plane on loopback, and somebody who answers for the pods that
//! kwok pretends to run.

mod control_plane;
mod fleet;
mod gate;
mod operator;
mod pod;

pub use control_plane::{ControlPlane, Unavailable};
pub use fleet::{Behaviour, Fleet};
pub use gate::Gate;
pub use operator::{Operator, Rights, Stage};

/// What a helper could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses.
    #[error("API server: {0}")]
    Kubernetes(#[from] kube::Error),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Anything else, said in words.
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
