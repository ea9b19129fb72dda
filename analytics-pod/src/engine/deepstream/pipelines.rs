//! The pipelines of the pod: one for each model, made when its first source comes, replaced when it is worn.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use deepstream::{
    Epoch, Libraries, Version,
    pipeline::{Pipeline, PipelineError, Settings, Tracker},
};

use super::workplace::{self, Machine, Workplace};
use crate::{
    engine::native::Stop,
    model::Model,
    source::{Failure, Reason},
};

/// How long a thread that waits for a pipeline may not notice that it is to stop.
const POLL: Duration = Duration::from_millis(50);
/// What DeepStream's tracker looks at.
const TRACKER_SIZE: (u32, u32) = (640, 384);

/// What is the same for all pipelines.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) version: Version,
    pub(super) epoch: Epoch,
    pub(super) libraries: Libraries,
    pub(super) capacity: u32,
    pub(super) size: (u32, u32),
    pub(super) buffer_pool: Option<u32>,
    pub(super) memory_type: Option<u32>,
    pub(super) start_timeout: Duration,
    pub(super) machine: Machine,
    pub(super) cache: PathBuf,
    pub(super) parsers: PathBuf,
    pub(super) tracker_library: PathBuf,
}

/// Of one model: by its address, since another file or other thresholds are another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    model: usize,
    live: bool,
}

/// The pipeline of a model; being made by whoever holds the lock. It stays while sources come back and go.
#[derive(Default)]
struct Cell {
    model: Weak<Model>,
    current: Mutex<Option<Arc<Pipeline>>>,
}

/// See the module.
pub(super) struct Pipelines {
    common: Common,
    cells: Mutex<HashMap<Key, Arc<Cell>>>,
    /// Places that could not be let go of, since the pod began.
    lost_places: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipelines {
    pub(super) fn new(common: Common) -> Self {
        Self { common, cells: Mutex::default(), lost_places: AtomicUsize::new(0) }
    }

    /// A pipeline of `model` that takes sources; made where there is none. `None`: `stop` was requested meanwhile.
    pub(super) fn of(&self, model: &Arc<Model>, live: bool, stop: &Stop) -> Result<Option<Arc<Pipeline>>, Failure> {
        let cell = self.cell(model, live);
        let mut current = loop {
            match cell.current.try_lock() {
                Ok(current) => break current,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if stop.is_requested() => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            }
        };
        if let Some(found) = current.as_ref().filter(|found| !found.is_worn()) {
            return Ok(Some(Arc::clone(found)));
        }
        if let Some(failure) = current.as_ref().and_then(|found| found.failure()) {
            tracing::error!(model = %model.info().name, error = %failure, "the pipeline is replaced");
        }
        let made = Arc::new(self.make(model, live)?);
        *current = Some(Arc::clone(&made));
        Ok(Some(made))
    }

    fn cell(&self, model: &Arc<Model>, live: bool) -> Arc<Cell> {
        let key = Key { model: Arc::as_ptr(model) as usize, live };
        let mut gone = Vec::new();
        let cell = {
            let mut cells = lock(&self.cells);
            gone.extend(cells.extract_if(|_, cell| cell.model.strong_count() == 0));
            let new = || Arc::new(Cell { model: Arc::downgrade(model), current: Mutex::default() });
            Arc::clone(cells.entry(key).or_insert_with(new))
        };
        // Ending a pipeline takes time, and others need the cells.
        drop(gone);
        cell
    }

    /// Ends what no source is in.
    pub(super) fn close(&self) {
        let cells: Vec<_> = lock(&self.cells).drain().collect();
        drop(cells);
    }

    fn make(&self, model: &Model, live: bool) -> Result<Pipeline, Failure> {
        let mut capacity = self.common.capacity;
        loop {
            match self.make_with(model, live, capacity) {
                Err(error) if error.is_out_of_memory() && capacity > 1 => {
                    tracing::warn!(batch = capacity, smaller = capacity / 2, %error, "trying a smaller batch");
                    capacity /= 2;
                }
                Err(error) => return Err(super::failure("", &error)),
                Ok(Err(failure)) => return Err(failure),
                Ok(Ok(pipeline)) => return Ok(pipeline),
            }
        }
    }

    /// The outer error is the pipeline's.
    fn make_with(&self, model: &Model, live: bool, capacity: u32) -> Result<Result<Pipeline, Failure>, PipelineError> {
        let Common { version, epoch, libraries, size: (width, height), machine, .. } = &self.common;
        let prepared =
            workplace::prepare(model, &self.common.cache, machine, *version, &self.common.parsers, capacity as usize);
        let Workplace { config, batch } = match prepared {
            Ok(workplace) => workplace,
            Err(error) => return Ok(Err(Failure::new(Reason::ModelUnavailable, error.to_string()))),
        };
        let files = model.deepstream();
        let tracker = files.tracker_config.as_ref().map(|config| Tracker {
            library: self.common.tracker_library.clone(),
            config: config.clone(),
            width: TRACKER_SIZE.0,
            height: TRACKER_SIZE.1,
        });
        let settings = Settings {
            capacity,
            inference_batch: u32::try_from(batch).unwrap_or(capacity),
            width: *width,
            height: *height,
            gpu: machine.gpu,
            live,
            buffer_pool: self.common.buffer_pool,
            memory_type: self.common.memory_type,
            inference: config,
            start_timeout: self.common.start_timeout,
            tracker,
            preprocess: files.preprocess_config.clone(),
            epoch: *epoch,
        };
        let name = &model.info().name;
        tracing::info!(model = %name, config = %settings.inference.display(), capacity, batch, "DeepStream's pipeline starts; the first start with a model builds its engine, which takes minutes");
        let started = std::time::Instant::now();
        let pipeline = Pipeline::start(settings, *libraries)?;
        tracing::info!(model = %name, seconds = started.elapsed().as_secs_f64(), "DeepStream's pipeline plays");
        Ok(Ok(pipeline))
    }

    /// A place could not be let go of.
    pub(super) fn worn(&self, error: &PipelineError) {
        if matches!(error, PipelineError::Hangs { .. }) {
            self.lost_places.fetch_add(1, Relaxed);
        }
    }

    /// Places that could not be let go of: each has cost a thread and the memory that it holds.
    pub(super) fn lost_places(&self) -> usize {
        self.lost_places.load(Relaxed)
    }
}
