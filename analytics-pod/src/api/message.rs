//! A request, and its answer.

use serde::Serialize;
use serde_json::Value;
use warp::http::StatusCode;

use super::{
    problem::Failure,
    routes::{Method, Target},
};
use crate::request_id::RequestId;

/// A request that is known to make sense so far.
pub(super) struct Request {
    /// What it is known by from here on.
    pub(super) id: RequestId,
    pub(super) target: Target,
    pub(super) method: Method,
    /// The name in the path.
    pub(super) name: String,
    /// `?namespace=`.
    pub(super) namespace: Option<String>,
    /// The document, of requests that bring one.
    pub(super) body: Value,
}

/// What a request is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Self {
        Self::typed(status, "application/json", document)
    }

    fn typed(status: StatusCode, content_type: &'static str, document: &impl Serialize) -> Self {
        match serde_json::to_vec(document) {
            Ok(body) => Self::new(status, content_type, body),
            // Answers have no maps with keys other than texts, which is all that can fail.
            Err(error) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", error.to_string()),
        }
    }

    pub(super) fn failure(failure: &Failure, request_id: &RequestId) -> Self {
        let mut answer = Self::typed(failure.status, "application/problem+json", &failure.problem(request_id.as_str()));
        answer.headers.clone_from(&failure.headers);
        answer
    }
}

/// What comes of a request.
pub(super) type Answered = Result<Answer, Failure>;
