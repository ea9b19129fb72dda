//! What a worker needs of a model.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::{InferenceError, Model, ModelInfo, Placement, RunOutput, Session, Thresholds};

/// Which model a source uses at the moment.
pub(super) trait ModelChoice: Send + Sync {
    /// The model for the next frame.
    fn current(&self) -> Arc<dyn Detector>;
}

/// Opens sessions; [`Model`] in production.
pub(super) trait Detector: Send + Sync {
    /// What is known of the model.
    fn info(&self) -> &Arc<ModelInfo>;
    /// A session for one thread.
    fn session(&self) -> Result<Box<dyn DetectorSession>, InferenceError>;
    /// The same for the same model; no other model has it while this one is held.
    fn id(&self) -> usize;
}

/// Runs the model; see [`Session`].
pub(super) trait DetectorSession {
    /// See [`Session::input`].
    fn input(&mut self, index: usize) -> &mut [f32];
    /// See [`Session::run`].
    fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError>;
}

impl ModelChoice for ArcSwap<Model> {
    fn current(&self) -> Arc<dyn Detector> {
        Arc::new(self.load_full())
    }
}

impl Detector for Arc<Model> {
    fn info(&self) -> &Arc<ModelInfo> {
        Model::info(self)
    }

    fn session(&self) -> Result<Box<dyn DetectorSession>, InferenceError> {
        Ok(Box::new(Model::session(self)?))
    }

    fn id(&self) -> usize {
        Self::as_ptr(self).addr()
    }
}

impl DetectorSession for Session {
    fn input(&mut self, index: usize) -> &mut [f32] {
        Session::input(self, index)
    }

    fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError> {
        Session::run(self, pictures)
    }
}
