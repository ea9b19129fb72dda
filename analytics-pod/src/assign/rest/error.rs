//! Why something that REST asks for is not done.

use std::sync::Arc;

use super::{folder::FolderError, merge::Origin};
use crate::assign::error::ObjectId;

/// One thing that is wrong with a submitted object. Never holds a URI or anything of a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}{}", if field.is_empty() { String::new() } else { format!("{field} ") }, remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default())]
pub struct FieldError {
    /// The field, as the sender wrote it (`detection.confidence`, `spec.uri`); empty: the whole object.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it, where the problem does not say it.
    pub remedy: Option<String>,
}

impl FieldError {
    pub(super) fn new(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), remedy: Some(remedy.into()) }
    }

    /// The field as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self) -> String {
        let steps = self.field.split(['.', '[']).filter(|step| !step.is_empty());
        steps.fold(String::new(), |pointer, step| {
            let step = step.trim_end_matches(']').replace('~', "~0").replace('/', "~1");
            pointer + "/" + &step
        })
    }
}

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
