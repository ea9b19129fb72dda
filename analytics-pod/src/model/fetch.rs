//! From what a manifest names to a verified file.

use super::{
    error::ModelError,
    file::ModelFile,
    spec::{ModelSource, ModelSpec},
};

/// The file of the model that `spec` names.
///
/// # Errors
/// Where it cannot be had or is not what `spec.sha256` says.
pub fn obtain(spec: &ModelSpec) -> Result<ModelFile, ModelError> {
    match &spec.source {
        ModelSource::File(path) => ModelFile::at(spec, path.clone()),
        ModelSource::Builtin(name) => ModelFile::builtin(spec, name),
        ModelSource::Url(url) => Err(ModelError::Fetch {
            model: spec.name.clone(),
            origin: super::spec::printable(url),
            message: "downloads are not built in".to_owned(),
        }),
    }
}
