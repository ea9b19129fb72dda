//! Where clips come from: memory, the cache on disk, the encoder, or a file.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    cache::{Cache, CacheError},
    clip::Clip,
    config::{CameraConfig, SceneConfig},
    encode::{self, EncodeError},
    file::{self, FileError},
};

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A scene cannot be encoded.
    #[error("cannot encode a scene: {0}")]
    Encode(#[from] EncodeError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file cannot be played.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Is told how many frames have been encoded, and out of how many.
pub trait Progress: Sync {
    /// Called after each frame, from several threads.
    fn encoded(&self, frames: u64, total: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn encoded(&self, _frames: u64, _total: u64) {}
}

/// All clips of a simulator; the same scene is kept once.
#[derive(Debug)]
pub(crate) struct Library {
    cache: Cache,
    clips: Mutex<HashMap<PathBuf, Arc<Clip>>>,
}

impl Library {
    pub(crate) fn open(cache: Option<&Path>) -> Result<Self, CacheError> {
        Ok(Self { cache: Cache::open(cache)?, clips: Mutex::default() })
    }

    /// The clip of a scene.
    pub(crate) fn scene(&self, config: &SceneConfig) -> Result<Arc<Clip>, LibraryError> {
        let path = self.cache.path(config)?;
        if let Some(clip) = self.kept(&path) {
            return Ok(clip);
        }
        self.encode(config, path, || ())
    }

    /// The clips of all cameras, in their order; scenes that were never encoded are encoded on all cores.
    pub(crate) fn clips(
        &self,
        cameras: &[CameraConfig],
        progress: &dyn Progress,
    ) -> Result<Vec<Arc<Clip>>, LibraryError> {
        let mut missing: Vec<(PathBuf, SceneConfig)> = Vec::new();
        let mut paths = Vec::new();
        for camera in cameras {
            let path = match (camera.shown_scene(), &camera.file) {
                (Some(scene), _) => {
                    let path = self.cache.path(&scene)?;
                    if self.kept(&path).is_none() && missing.iter().all(|(other, _)| *other != path) {
                        missing.push((path.clone(), scene));
                    }
                    path
                }
                (None, file) => {
                    let path = file.clone().unwrap_or_default();
                    if self.kept_in_memory(&path).is_none() {
                        self.keep(path.clone(), file::read(&path)?);
                    }
                    path
                }
            };
            paths.push(path);
        }
        self.encode_all(&missing, progress)?;
        let clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(paths.iter().filter_map(|path| clips.get(path).cloned()).collect())
    }

    fn encode_all(&self, missing: &[(PathBuf, SceneConfig)], progress: &dyn Progress) -> Result<(), LibraryError> {
        let total = missing.iter().map(|(_, scene)| u64::from(scene.loop_frames())).sum();
        let done = AtomicU64::new(0);
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism().map_or(1, usize::from).min(missing.len());
        let work = || -> Result<(), LibraryError> {
            while let Some((path, scene)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.encode(scene, path.clone(), || {
                    progress.encoded(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                })?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn encode(&self, scene: &SceneConfig, path: PathBuf, rendered: impl FnMut()) -> Result<Arc<Clip>, LibraryError> {
        let clip = encode::encode(scene, rendered)?;
        self.cache.store(&path, &clip)?;
        Ok(self.keep(path, clip))
    }

    fn kept(&self, path: &Path) -> Option<Arc<Clip>> {
        self.kept_in_memory(path).or_else(|| Some(self.keep(path.to_owned(), Cache::load(path)?)))
    }

    fn kept_in_memory(&self, path: &Path) -> Option<Arc<Clip>> {
        self.clips.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn keep(&self, path: PathBuf, clip: Clip) -> Arc<Clip> {
        let mut clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clips.entry(path).or_insert_with(|| Arc::new(clip)))
    }
}
