//! Opening the model that a command line names.

use std::{path::Path, sync::Arc};

use crate::{
    assign,
    model::{Model, ModelError, ModelSpec, OpenOptions},
};

/// Why the model of a command line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelArgumentError {
    /// The manifest is wrong.
    #[error("--model {path}: {problem}")]
    Manifest {
        /// Its path.
        path: String,
        /// What is wrong, each on a line of its own.
        problem: String,
    },
    /// The model is.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The model that `argument` names: a manifest, an ONNX file, or a built-in model.
pub(super) fn named(argument: &str) -> Result<ModelSpec, ModelArgumentError> {
    let path = Path::new(argument);
    let manifest = path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
    if !manifest {
        return Ok(ModelSpec::from_argument(argument)?);
    }
    let refused = |problem: String| ModelArgumentError::Manifest { path: argument.to_owned(), problem };
    let loaded = assign::load(&[path.to_owned()]);
    if !loaded.errors.is_empty() {
        return Err(refused(loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    let mut models = loaded.models.into_values();
    match (models.next(), models.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(refused("there is no DetectionModel in it".to_owned())),
        (Some(_), Some(_)) => Err(refused("there is more than one DetectionModel in it: keep one".to_owned())),
    }
}

/// Opens `spec`, fetching it first where it must be.
pub(super) fn open(spec: &ModelSpec) -> Result<Arc<Model>, ModelArgumentError> {
    Ok(Model::open(spec, &OpenOptions::default())?)
}
