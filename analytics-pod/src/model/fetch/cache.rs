//! The folder that fetched files stay in.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::FetchOptions;
use crate::model::{Digest, ModelError, ModelSpec};

/// The variable that names the folder.
const CACHE_VARIABLE: &str = "VISION_CACHE_DIR";

/// Where files are kept where nobody says: `VISION_CACHE_DIR`, else the user's cache folder; `None` for a user without
/// one.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let named = env::var_os(CACHE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        directories::ProjectDirs::from("dev", "vision-operator", "vision-operator")
            .map(|folders| folders.cache_dir().to_owned())
    })
}

/// A folder of files by digest: `<digest>.onnx` whole, `<digest>.part` under way, `<digest>.lock` held by whoever
/// downloads.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Where the cache is, whether or not it exists.
    pub(super) fn folder(spec: &ModelSpec, options: &FetchOptions) -> Result<PathBuf, ModelError> {
        let root = options.cache.clone().or_else(folder).ok_or_else(|| ModelError::Fetch {
            model: spec.name.clone(),
            origin: spec.source.to_string(),
            message: format!("this user has no home to keep it in; set {CACHE_VARIABLE} to a folder"),
        })?;
        Ok(root.join("models"))
    }

    /// The cache, created where it does not exist.
    pub(super) fn open(spec: &ModelSpec, options: &FetchOptions) -> Result<Self, ModelError> {
        let folder = Self::folder(spec, options)?;
        fs::create_dir_all(&folder).map_err(|source| file_error(spec, CANNOT_CREATE, &folder, source))?;
        Ok(Self { folder })
    }

    /// The whole file.
    pub(super) fn whole(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.onnx", digest.to_hex()))
    }

    /// What there is of a file under way.
    pub(super) fn part(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.part", digest.to_hex()))
    }

    /// Waits until no other process downloads the file. The lock ends when the returned file is dropped or the process
    /// ends, however it ends.
    pub(super) fn lock(&self, spec: &ModelSpec, digest: Digest) -> Result<File, ModelError> {
        let path = self.folder.join(format!("{}.lock", digest.to_hex()));
        let lock = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| file_error(spec, "cannot lock", &path, source))
    }
}

const CANNOT_CREATE: &str = "cannot create the cache (VISION_CACHE_DIR names another)";

pub(super) fn file_error(spec: &ModelSpec, action: &'static str, path: &Path, source: io::Error) -> ModelError {
    ModelError::File { model: spec.name.clone(), action, path: path.to_owned(), source }
}
