//! Which engine runs, and its start.

use std::{io, sync::Arc};

use crds::EngineChoice;
use deepstream::installation::{Chosen, Installation, Refused, Request, choose};
use gpu_telemetry::Gpus;

use crate::{
    config::Config,
    engine::{
        Engine,
        deepstream::{DeepStreamEngine, DeepStreamError, DeepStreamSettings},
        native::{NativeEngine, NativeSettings, ThreadPolicy},
    },
    model,
};

/// Why no engine can be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A thread cannot be had.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// DeepStream is asked for and cannot be used.
    #[error("detector.engine: {0}; install what is missing, or write Auto or Native")]
    Refused(#[from] Refused),
    /// DeepStream is there, but does not start.
    #[error("detector.engine: {0}")]
    DeepStream(#[from] DeepStreamError),
    /// There is nowhere to keep what TensorRT builds.
    #[error("cacheDir: DeepStream needs a folder for the engines that it builds; name one (VISION_CACHE_DIR)")]
    NoCache,
}

/// What of DeepStream is installed, where GStreamer can be asked.
pub(super) fn installation(config: &Config) -> Option<Installation> {
    Installation::look(config.deepstream.folder.clone(), gpus()).ok()
}

/// The products' names of the GPUs.
fn gpus() -> Vec<String> {
    let readings = Gpus::open().map(|gpus| gpus.read()).unwrap_or_default();
    readings.into_iter().map(|gpu| gpu.name.unwrap_or(gpu.uuid)).collect()
}

/// The choice, as the log tells it.
pub(super) fn chosen(wanted: EngineChoice, installation: &Installation) -> Result<Chosen, Refused> {
    let request = match wanted {
        EngineChoice::Auto => Request::Auto,
        EngineChoice::Native => Request::Native,
        EngineChoice::DeepStream => Request::DeepStream,
    };
    choose(request, false, installation)
}

/// Starts the engine that the configuration asks for, and says why it is that one.
pub(super) fn start(config: &Config) -> Result<Arc<dyn Engine>, EngineError> {
    let wanted = config.detector.engine;
    if wanted != EngineChoice::Native
        && let Some(installation) = installation(config)
    {
        let Chosen { deepstream, why } = chosen(wanted, &installation)?;
        tracing::info!(engine = if deepstream { "DeepStream" } else { "Native" }, %why, "engine");
        if deepstream {
            let settings = settings(config).ok_or(EngineError::NoCache)?;
            return Ok(Arc::new(DeepStreamEngine::new(&installation, settings)?));
        }
    }
    let threads = config.detector.workers.map_or_else(ThreadPolicy::detect, ThreadPolicy::with_workers);
    Ok(Arc::new(NativeEngine::new(NativeSettings { threads })?))
}

fn settings(config: &Config) -> Option<DeepStreamSettings> {
    let cache = config.cache_dir.clone().or_else(model::cache_folder)?;
    let wanted = &config.deepstream;
    Some(DeepStreamSettings {
        capacity: wanted.capacity,
        size: (wanted.width, wanted.height),
        gpu: wanted.gpu,
        buffer_pool: wanted.buffer_pool,
        memory_type: wanted.memory_type,
        start_timeout: wanted.start_timeout.get(),
        parsers: wanted.parsers.clone(),
        ..DeepStreamSettings::new(cache)
    })
}
