//! What a request that fails is answered: `application/problem+json` (RFC 9457).

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::StatusCode;

use crate::assign::rest::{ChangeError, FieldError, FolderError};

/// Why a request failed, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Tells the kind of problem, for programs: `urn:vision-operator:problem:` and a stable word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// This problem, for people, with the remedy.
    pub detail: String,
    /// Every field that is wrong; empty where the problem is no field's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// The `X-Request-Id` of the request; the log has it too.
    pub request_id: String,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldProblem {
    /// The field as a JSON pointer (RFC 6901) into the request's document; empty: the whole document.
    pub pointer: String,
    /// The field as a path (`detection.confidence`).
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do, where the problem does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl From<&FieldError> for FieldProblem {
    fn from(error: &FieldError) -> Self {
        Self {
            pointer: error.pointer(),
            field: error.field.clone(),
            problem: error.problem.clone(),
            remedy: error.remedy.clone(),
        }
    }
}

/// A failure on its way to becoming an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// The stable word.
    word: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    /// Headers that belong to the status.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, word: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, word, title, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    pub(super) fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:vision-operator:problem:{}", self.word),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            request_id: request_id.to_owned(),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        let conflict = |word, title| Self::new(StatusCode::CONFLICT, word, title, detail.clone());
        match error {
            ChangeError::Invalid(errors) => Self {
                errors: errors.iter().map(FieldProblem::from).collect(),
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The document cannot be used", detail)
            },
            ChangeError::Fixed(errors) => Self {
                errors: errors.iter().map(FieldProblem::from).collect(),
                ..conflict("fixed", "It is not changed by requests")
            },
            ChangeError::Exists { .. } => conflict("exists", "The name is taken"),
            ChangeError::NotMadeHere { .. } => conflict("other-origin", "It was not made over REST"),
            ChangeError::InUse { .. } => conflict("in-use", "It is in use"),
            ChangeError::NotFound(_) => Self::not_found(detail),
            ChangeError::Folder(FolderError::Unreadable { .. }) => {
                conflict("unreadable-state", "The state folder has a file of this name that cannot be read")
            }
            ChangeError::Folder(FolderError::Full { .. }) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The disk is full", detail)
            }
            ChangeError::Folder(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not-kept", "The change cannot be kept", detail)
            }
            ChangeError::InCluster => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "in-cluster", "The cluster says what runs", detail)
                    .with_header("allow", "GET")
            }
            ChangeError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-state-folder", "Changes are off", detail)
            }
        }
    }
}
