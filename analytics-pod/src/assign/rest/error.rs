//! Why something that REST asks for is not done.

use std::sync::Arc;

use super::{field::FieldError, folder::FolderError, merge::Origin};
use crate::assign::error::ObjectId;

/// Why a change is refused; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The object says something that it must not.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(". "))]
    Invalid(Vec<FieldError>),
    /// There is an object of this name.
    #[error("{id} exists already: it is defined {origin}; choose another name, or change that one")]
    Exists {
        /// Which.
        id: ObjectId,
        /// Where it is from.
        origin: Origin,
    },
    /// There is no object of this name.
    #[error("there is no {0}")]
    NotFound(ObjectId),
    /// Only what REST made can be changed over REST.
    #[error("{id} is defined {origin}: change it there; over REST only what was made over REST can be changed")]
    NotMadeHere {
        /// Which.
        id: ObjectId,
        /// Where it is from.
        origin: Origin,
    },
    /// A model that sources use cannot go.
    #[error("{id} is used by {}: give them another model first, or delete them", used_by.join(", "))]
    InUse {
        /// Which.
        id: ObjectId,
        /// The sources, by name.
        used_by: Vec<String>,
    },
    /// It is not changed while the pod runs.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(". "))]
    Fixed(Vec<FieldError>),
    /// The state folder does not take it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The cluster says what runs.
    #[error(
        "what this pod runs is said by the cluster: change the VideoSource or DetectionModel there (`kubectl edit`)"
    )]
    InCluster,
    /// This pod keeps nothing.
    #[error("changes over REST are off: {0}")]
    Unavailable(Arc<str>),
}
