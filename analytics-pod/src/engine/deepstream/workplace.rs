//! What nvinfer is given of a model: a folder with the model, its labels and a configuration, where the engine that
//! TensorRT builds of it stays for the next start.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use deepstream::{
    Epoch, Version, libraries,
    nvinfer::{self, EngineKey, Inference, InferenceError, Normalization, OutputLayout},
};

use crate::model::{ChannelOrder, ColorOrder, ElementType, Fit, Layout, Model, ModelError, ModelInfo};

/// Candidates below this are of no use to any source. A source may ask for less than its model without another
/// configuration: what is above its own threshold is picked afterwards, and a worse box never suppresses a better one.
const LOWEST_CONFIDENCE: f32 = 0.1;

/// Why nvinfer cannot be given a model.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkplaceError {
    #[error("{}: {error}; make room or make it writable, or name another folder (VISION_CACHE_DIR)", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("model {model}: {error}")]
    Inference { model: Arc<str>, error: InferenceError },
    #[error(
        "model {model}: DeepStream feeds 32-bit and 16-bit floating-point inputs, and this one takes bytes; export it with a floating-point input, or set serving.engine to Native"
    )]
    ElementType { model: Arc<str> },
    #[error("the parser library for nvinfer is not at {}: build it with deepstream/parsers/build.sh, or name it in VISION_DEEPSTREAM_PARSERS", .path.display())]
    NoParsers { path: PathBuf },
    #[error("{} cannot be used as a parser library: {reason}; build it in this image with deepstream/parsers/build.sh", .path.display())]
    Parsers { path: PathBuf, reason: String },
}

/// What an engine depends on beside the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) tensorrt: Option<String>,
    pub(super) gpu_name: Option<String>,
    pub(super) gpu: u32,
}

/// A model as nvinfer takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workplace {
    /// nvinfer's configuration.
    pub(super) config: PathBuf,
    /// Pictures a run of nvinfer takes at the most.
    pub(super) batch: usize,
}

/// Lays `model` out below `cache` for pictures in batches of up to `capacity`.
pub(super) fn prepare(
    model: &Model,
    cache: &Path,
    machine: &Machine,
    version: Version,
    parsers: &Path,
    capacity: usize,
) -> Result<Workplace, WorkplaceError> {
    let (info, files) = (model.info(), model.deepstream());
    if let Some(config) = &files.infer_config {
        return Ok(Workplace { config: config.clone(), batch: capacity });
    }
    let parsers = files.parser_library.as_deref().unwrap_or(parsers);
    if !parsers.exists() {
        return Err(WorkplaceError::NoParsers { path: parsers.to_owned() });
    }
    check(parsers, version)?;
    let batch = if model.has_fixed_batch() { info.input.max_batch } else { info.input.max_batch.max(capacity) };
    let precision = match info.input.element_type {
        ElementType::F32 => nvinfer::Precision::Fp32,
        ElementType::F16 => nvinfer::Precision::Fp16,
        ElementType::U8 => return Err(WorkplaceError::ElementType { model: Arc::clone(&info.name) }),
    };
    let key = EngineKey {
        model_digest: &info.digest,
        tensorrt: machine.tensorrt.as_deref(),
        gpu: machine.gpu_name.as_deref(),
        batch,
        precision,
    };
    let folder = cache.join("deepstream").join(key.folder());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| WorkplaceError::Io { path, error }
    };
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let onnx = folder.join("model.onnx");
    // It is named by its digest, so what is there is it, unless it was cut short.
    let bytes = model.bytes()?;
    if fs::metadata(&onnx).map_or(true, |found| found.len() != bytes.len() as u64) {
        replace(&onnx, &bytes).map_err(failed(&onnx))?;
    }
    let labels = folder.join("labels.txt");
    let text: String = info.labels.iter().flat_map(|label| [label, "\n"]).collect();
    replace(&labels, text.as_bytes()).map_err(failed(&labels))?;
    let inference = Inference {
        engine: key.file_beside(&onnx, machine.gpu),
        onnx,
        labels,
        gpu: machine.gpu,
        batch,
        precision,
        parser_library: parsers.to_owned(),
        parser_function: files.parser_function.as_deref().map(str::to_owned),
        ..inference_of(info)
    };
    let text = nvinfer::configuration(&inference, version)
        .map_err(|error| WorkplaceError::Inference { model: Arc::clone(&info.name), error })?;
    let config = folder.join(format!("{}.txt", file_name(&info.name)));
    replace(&config, text.as_bytes()).map_err(failed(&config))?;
    Ok(Workplace { config, batch })
}

/// Holds what the library says of its objects against what nvinfer of `version` takes them for.
fn check(parsers: &Path, version: Version) -> Result<(), WorkplaceError> {
    let refused = |reason| WorkplaceError::Parsers { path: parsers.to_owned(), reason };
    let size = libraries::parser_object_size(parsers).map_err(refused)?;
    let expected = Epoch::of(version).map_or(size, |epoch| Some(epoch.parse_object_size()));
    match (size, expected) {
        (Some(size), Some(expected)) if size != expected => Err(refused(format!(
            "its objects are of {size} bytes and nvinfer of DeepStream {version} takes them for {expected}"
        ))),
        _ => Ok(()),
    }
}

/// What follows from the model alone.
fn inference_of(info: &ModelInfo) -> Inference {
    let input = &info.input;
    let lowered = |confidence: f32| confidence.min(LOWEST_CONFIDENCE);
    Inference {
        onnx: PathBuf::new(),
        engine: PathBuf::new(),
        labels: PathBuf::new(),
        classes: info.labels.len(),
        layout: layout(info.layout),
        width: input.width,
        height: input.height,
        channels_last: input.channel_order == ChannelOrder::Nhwc,
        blue_first: input.color_order == ColorOrder::Bgr,
        normalization: Normalization { scale: input.scale, mean: input.mean, std: input.std },
        fit: match input.fit {
            Fit::LetterboxCenter => nvinfer::Fit::Center,
            Fit::LetterboxTopLeft => nvinfer::Fit::TopLeft,
            Fit::Stretch => nvinfer::Fit::Stretch,
        },
        batch: 1,
        precision: nvinfer::Precision::Fp32,
        gpu: 0,
        interval: 0,
        confidence: lowered(info.thresholds.confidence),
        per_class: info.thresholds.per_class.iter().map(|(class, cutoff)| (*class, lowered(*cutoff))).collect(),
        iou: info.thresholds.iou,
        max_objects: info.thresholds.max_objects,
        parser_library: PathBuf::new(),
        parser_function: None,
    }
}

const fn layout(layout: Layout) -> OutputLayout {
    match layout {
        Layout::YoloV5 => OutputLayout::YoloV5,
        Layout::YoloV8 => OutputLayout::YoloV8,
        Layout::YoloEndToEnd => OutputLayout::YoloEndToEnd,
        Layout::YoloXRaw => OutputLayout::YoloXRaw,
        Layout::YoloXDecoded => OutputLayout::YoloXDecoded,
        Layout::Ssd => OutputLayout::Ssd,
        Layout::Queries => OutputLayout::Queries,
        Layout::FastestDet => OutputLayout::FastestDet,
    }
}

/// Letters, digits and hyphens of `name`.
fn file_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    name.chars().map(plain).take(100).collect()
}

/// Writes a file that others see whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}
