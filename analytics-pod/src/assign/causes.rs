//! Which requests led to a change.

use std::collections::BTreeMap;

use super::ModelKey;
use crate::{observation::SourceKey, request_id::RequestId};

/// The last request that made, changed or removed each object, of those that have changed lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// By source.
    pub sources: BTreeMap<SourceKey, RequestId>,
    /// By model.
    pub models: BTreeMap<ModelKey, RequestId>,
}

impl Causes {
    /// Why a source changed: the request was about it, or about its model.
    #[must_use]
    pub fn of_source(&self, source: &SourceKey, model: &ModelKey) -> Option<&RequestId> {
        self.sources.get(source).or_else(|| self.models.get(model))
    }

    /// Why a model changed.
    #[must_use]
    pub fn of_model(&self, model: &ModelKey) -> Option<&RequestId> {
        self.models.get(model)
    }
}
