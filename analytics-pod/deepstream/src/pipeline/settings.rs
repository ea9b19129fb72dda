//! How a pipeline is made.

use std::{path::PathBuf, time::Duration};

use crate::Epoch;

/// How a pipeline is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sources at the most, and pictures that the mux puts together.
    pub capacity: u32,
    /// Pictures that a run of nvinfer takes at the most.
    pub inference_batch: u32,
    /// Width to which the mux scales all pictures, in pixels.
    pub width: u32,
    /// Height to which the mux scales all pictures.
    pub height: u32,
    /// The GPU's number.
    pub gpu: u32,
    /// Pictures come in real time and may be dropped.
    pub live: bool,
    /// Buffers in the mux's pool, where its version lets one choose; `None`: its own.
    pub buffer_pool: Option<u32>,
    /// Kind of the mux's memory (`nvbuf-memory-type`); `None`: its own.
    pub memory_type: Option<u32>,
    /// nvinfer's configuration.
    pub inference: PathBuf,
    /// How long nvinfer may take to load its model, or to build an engine of it.
    pub start_timeout: Duration,
    /// nvdspreprocess's configuration: it prepares tensors, and nvinfer takes them.
    pub preprocess: Option<PathBuf>,
    /// DeepStream's tracker.
    pub tracker: Option<Tracker>,
    /// How metadata are laid out.
    pub epoch: Epoch,
}

/// DeepStream's tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// The library that tracks.
    pub library: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Width of the pictures that it looks at; a multiple of 32.
    pub width: u32,
    /// Height of the pictures that it looks at; a multiple of 32.
    pub height: u32,
}
