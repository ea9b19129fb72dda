//! From what a manifest names to a verified file. What is fetched stays in a cache, by its digest.

mod cache;
mod download;

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    error::ModelError,
    file::ModelFile,
    spec::{ModelSource, ModelSpec},
};
use cache::Cache;
pub use cache::folder as cache_folder;
use download::Policy;

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// Bytes that are there, those of an earlier, broken download included.
    pub received: u64,
    /// Bytes of the whole file, where the server says.
    pub total: Option<u64>,
}

/// Is told how far a download is, after each piece.
pub type OnProgress = Arc<dyn Fn(FetchProgress) + Send + Sync>;

/// How files are fetched.
#[derive(Clone, Default)]
pub struct FetchOptions {
    /// The cache's folder; `None`: `VISION_CACHE_DIR`, else the user's cache folder.
    pub cache: Option<PathBuf>,
    /// Who wants to know how far a download is.
    pub progress: Option<OnProgress>,
}

impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// The file of the model that `spec` names. Several processes may ask for the same file at once: one downloads it, the
/// others wait for it.
///
/// # Errors
/// Where it cannot be had or is not what `spec.source.sha256` says.
pub fn obtain(spec: &ModelSpec, options: &FetchOptions) -> Result<ModelFile, ModelError> {
    obtain_with(spec, options, &Policy::default())
}

fn obtain_with(spec: &ModelSpec, options: &FetchOptions, policy: &Policy) -> Result<ModelFile, ModelError> {
    match &spec.source {
        ModelSource::File(path) => ModelFile::at(spec, path.clone()),
        ModelSource::Builtin(name) => ModelFile::builtin(spec, name),
        ModelSource::Url(url) => {
            let digest = spec.sha256.ok_or_else(|| ModelError::Refused {
                model: spec.name.clone(),
                field: "spec.source.sha256".into(),
                message: "a file that is fetched needs the digest that it must have (sha256sum FILE)".to_owned(),
            })?;
            if let Some(known) = known_file(spec, options, &digest.to_hex())? {
                return Ok(known);
            }
            let cache = Cache::open(spec, options)?;
            let _lock = cache.lock(spec, digest)?;
            // Another process may have brought it while this one waited for the lock.
            if let Some(known) = known_file(spec, options, &digest.to_hex())? {
                return Ok(known);
            }
            let path = download::download(spec, url, digest, &cache, options.progress.as_ref(), policy)?;
            ModelFile::at(spec, path)
        }
    }
}

/// The file in the cache, if it is there and whole. One that is not what it is named after is fetched again.
fn known_file(spec: &ModelSpec, options: &FetchOptions, hex: &str) -> Result<Option<ModelFile>, ModelError> {
    let path = Cache::folder(spec, options)?.join(format!("{hex}.onnx"));
    if !path.is_file() {
        return Ok(None);
    }
    match ModelFile::at(spec, path.clone()) {
        Ok(file) => Ok(Some(file)),
        Err(ModelError::WrongDigest { actual, .. }) => {
            tracing::warn!(model = %spec.name, path = %path.display(), %actual, "the cached file is damaged; fetching it again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
