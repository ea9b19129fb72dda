//! What has to be there before the first frame.

use std::{env, ffi::CString, fs, path::Path};

use gstreamer as gst;

use super::{DETECTOR, OTHER, ProcessMode};
use crate::config::{Cluster, Colors, Config};

/// The largest batch that fits into the memory of the GPU that is played; without it any does.
const MAX_BATCH_VARIABLE: &str = "VISION_STANDIN_MAX_BATCH";

/// The GPU that is played is lost after so many buffers.
const LOST_VARIABLE: &str = "VISION_STANDIN_DEVICE_LOST_AFTER";

fn number_of(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Whether a batch fits into the GPU's memory.
pub(super) fn check_memory(batch_size: u32) -> Result<(), String> {
    match number_of(MAX_BATCH_VARIABLE) {
        Some(most) if u64::from(batch_size) > most => {
            Err(format!("NVDSINFER_CUDA_ERROR: out of memory for batch-size {batch_size}"))
        }
        _ => Ok(()),
    }
}

/// After how many buffers the GPU is lost.
pub(super) fn lost_after() -> Option<u64> {
    number_of(LOST_VARIABLE)
}

/// Labels by class: one a line, of which what stands before a semicolon counts.
pub(super) fn read_labels(path: &Path) -> Result<Vec<CString>, gst::ErrorMessage> {
    let text = fs::read_to_string(path).map_err(|error| {
        gst::error_msg!(gst::ResourceError::Failed, ["Could not open labels file:{}: {error}", path.display()])
    })?;
    let label = |line: &str| line.split(';').next().unwrap_or_default().trim().to_owned();
    Ok(text.lines().map(|line| CString::new(label(line)).unwrap_or_default()).collect())
}

/// What the stand-in cannot do ends the start with a sentence, for doing something else would prove nothing.
pub(super) fn refuse_what_is_not_played(config: &Config, mode: ProcessMode) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("the stand-in does not play {what}"));
    if mode == ProcessMode::Secondary || config.process_mode == 2 {
        return refuse("process-mode=2 (models on objects)");
    }
    if let Some(key) = &config.other_model {
        return refuse(&format!("models of {key}, only of onnx-file"));
    }
    if !matches!(config.network_type, DETECTOR | OTHER) {
        return refuse(&format!("network-type={}", config.network_type));
    }
    if matches!(config.cluster, Cluster::Dbscan | Cluster::Hybrid) {
        return refuse("cluster-mode 1 and 3 (DBSCAN), whose library is closed");
    }
    if config.colors == Colors::Gray {
        return refuse("model-color-format=2");
    }
    if !matches!(config.scaling_filter, 0 | 1 | 6) {
        return refuse(&format!("scaling-filter={}, only 0, 1 and 6", config.scaling_filter));
    }
    Ok(())
}
