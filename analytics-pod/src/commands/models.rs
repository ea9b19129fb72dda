//! The model that a command line names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crds::{DetectionModelSpec, ModelSource};

use crate::{
    assign::{DesiredModel, Loader, ModelKey},
    model::builtin_names,
    observation::DEFAULT_NAMESPACE,
};

/// Why the manifest of a command line cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--model {path}: {problem}")]
pub struct ModelArgumentError {
    path: String,
    /// Each problem on a line of its own.
    problem: String,
}

/// The model that `argument` names: a manifest, an ONNX file, or a built-in model.
pub(super) fn named(argument: &str) -> Result<Arc<DesiredModel>, ModelArgumentError> {
    let path = Path::new(argument);
    let has_ending = |endings: &[&str]| {
        path.extension().is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
    };
    if has_ending(&["yaml", "yml", "json"]) {
        return in_manifest(path);
    }
    let (name, source) = if has_ending(&["onnx"]) {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, ModelSource { file: Some(file.to_string_lossy().into_owned()), ..ModelSource::default() })
    } else if builtin_names().any(|known| known == argument) {
        (argument.to_owned(), ModelSource { builtin: Some(argument.to_owned()), ..ModelSource::default() })
    } else {
        let known = builtin_names().collect::<Vec<_>>().join(", ");
        let problem = format!("is no built-in model; write one of {known}, or a path that ends in .yaml or .onnx");
        return Err(ModelArgumentError { path: argument.to_owned(), problem });
    };
    Ok(Arc::new(DesiredModel { key: ModelKey::new(DEFAULT_NAMESPACE, &name), spec: DetectionModelSpec::new(source) }))
}

fn in_manifest(path: &Path) -> Result<Arc<DesiredModel>, ModelArgumentError> {
    let refused = |problem: String| ModelArgumentError { path: path.display().to_string(), problem };
    let loaded = Loader::new(vec![PathBuf::from(path)]).load();
    if !loaded.errors.is_empty() {
        return Err(refused(loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    let mut models = loaded.state.models.into_values();
    match (models.next(), models.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(refused("there is no DetectionModel in it".to_owned())),
        (Some(_), Some(_)) => Err(refused("there is more than one DetectionModel in it: keep one".to_owned())),
    }
}
