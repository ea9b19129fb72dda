//! How far a pod is with the generations of its model. Pure.

use crds::report::{ModelPhase, ModelReport};

use crate::{assign::kubernetes::SeenModel, pod::ModelState};

/// Remembers which generation is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelProgress {
    in_use: i64,
}

impl ModelProgress {
    /// What to report where the cluster has `newest` and the pod is as far as `state`.
    pub fn report(&mut self, newest: Option<&SeenModel>, state: &ModelState) -> ModelReport {
        let digest = state.ready.as_ref().map(|model| model.info().digest.to_string());
        let Some(newest) = newest else {
            return ModelReport { generation: self.in_use, digest, ..ModelReport::default() };
        };
        if state.opened.as_ref() == Some(&newest.desired) {
            self.in_use = newest.generation;
            return ModelReport { generation: self.in_use, digest, phase: ModelPhase::Ready, ..ModelReport::default() };
        }
        let refused = state.refused.as_ref().filter(|refused| refused.desired == newest.desired);
        ModelReport {
            generation: self.in_use,
            digest,
            phase: if refused.is_some() { ModelPhase::Failed } else { ModelPhase::Loading },
            reason: refused.map(|refused| refused.reason.to_owned()),
            message: refused.and(state.failure.as_deref()).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crds::{DetectionModelSpec, ModelSource};

    use super::*;
    use crate::{
        assign::{DesiredModel, ModelKey},
        pod::ModelFailure,
    };

    fn seen(generation: i64, builtin: &str) -> SeenModel {
        let source = ModelSource { builtin: Some(builtin.to_owned()), ..ModelSource::default() };
        let key = ModelKey::new("yard", "people");
        let desired = Arc::new(DesiredModel { key, spec: DetectionModelSpec::new(source) });
        SeenModel { generation, desired }
    }

    fn opened(model: &SeenModel) -> ModelState {
        ModelState { opened: Some(Arc::clone(&model.desired)), ..ModelState::default() }
    }

    #[test]
    fn the_generation_in_use_stays_until_the_next_is_open() {
        let (first, second) = (seen(1, "starter"), seen(2, "other"));
        let mut progress = ModelProgress::default();
        assert_eq!(progress.report(None, &ModelState::default()).phase, ModelPhase::Loading);
        assert_eq!(progress.report(Some(&first), &ModelState::default()).generation, 0);
        let ready = progress.report(Some(&first), &opened(&first));
        assert_eq!((ready.generation, ready.phase), (1, ModelPhase::Ready));
        let loading = progress.report(Some(&second), &opened(&first));
        assert_eq!((loading.generation, loading.phase), (1, ModelPhase::Loading));
        let refused = ModelFailure { desired: Arc::clone(&second.desired), reason: "WrongDigest" };
        let state = ModelState { failure: Some("no".into()), refused: Some(refused), ..opened(&first) };
        let failed = progress.report(Some(&second), &state);
        assert_eq!((failed.generation, failed.phase), (1, ModelPhase::Failed));
        assert_eq!((failed.reason.as_deref(), failed.message.as_deref()), (Some("WrongDigest"), Some("no")));
        // The user goes back: the failure is not of this generation.
        let back = SeenModel { generation: 3, ..first.clone() };
        let ready = progress.report(Some(&back), &state);
        assert_eq!((ready.generation, ready.phase, ready.reason), (3, ModelPhase::Ready, None));
    }

    #[test]
    fn a_change_of_how_it_is_served_is_in_use_at_once() {
        let first = seen(1, "starter");
        let scaled = SeenModel { generation: 2, ..first.clone() };
        let mut progress = ModelProgress::default();
        progress.report(Some(&first), &opened(&first));
        assert_eq!(progress.report(Some(&scaled), &opened(&first)).generation, 2);
    }
}
