//! An open model, ready to run.

use std::{sync::Arc, time::Duration};

use super::info::{ModelInfo, Placement, Thresholds};
use crate::observation::Detection;

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[error("model {model}: {message}")]
pub struct InferenceError {
    /// The model's name.
    pub model: Arc<str>,
    /// What the runtime said.
    pub message: String,
}

/// An open model; any number of threads may hold it. Sessions are made on demand and reused.
#[derive(Debug)]
pub struct Model {
    info: Arc<ModelInfo>,
}

impl Model {
    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    /// Takes a session out of the pool, or opens one more. Give it back by dropping it.
    pub fn session(self: &Arc<Self>) -> Result<Session, InferenceError> {
        Err(InferenceError { model: self.info.name.clone(), message: "no runtime".into() })
    }
}

/// The exclusive use of the model for one run after another.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct RunOutput {
    /// Detections per picture, in the order of the batch, best first, boxes normalised to the picture.
    pub detections: Vec<Vec<Detection>>,
    /// Duration of the model's run.
    pub inference: Duration,
    /// Duration of post-processing.
    pub post_processing: Duration,
}

impl Session {
    /// What is known of the model.
    #[must_use]
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.model.info
    }

    /// The planar input of picture `index` of the batch: three planes (in the model's colour order) of
    /// `input.height × input.width` values. What was written stays until overwritten, so padding need be written
    /// only when a picture's placement differs from the one before.
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        let _ = index;
        &mut []
    }

    /// Runs the model on the first `pictures.len()` inputs. Each picture brings its placement in the input and the
    /// thresholds to read it by.
    pub fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError> {
        let _ = pictures;
        Err(InferenceError { model: self.model.info.name.clone(), message: "no runtime".into() })
    }
}
