//! nvinfer's configuration file, made from what is known of a model.
//!
//! A pure function from [`Inference`] to the file's text. nvinfer computes `net-scale-factor × (pixel − offset)` with one
//! factor for all channels, fills what a picture leaves of the input with zeros, and clusters per class; what a model
//! asks for beyond that is refused rather than approximated.

use std::{
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use crate::Version;

/// The first version whose clustering can be turned off (`cluster-mode=4`).
const WITHOUT_CLUSTERING: Version = Version::new(6, 0);

/// `NvBufSurfTransformInter_Bilinear`.
const BILINEAR: u8 = 1;

/// How a model's outputs are laid out. Each has a parser in the project's library for nvinfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputLayout {
    /// YOLOv5 and v7.
    YoloV5,
    /// YOLOv8, v11 and v12.
    YoloV8,
    /// YOLOv10 and YOLO26, after suppression.
    YoloEndToEnd,
    /// YOLOX on the strides' grids.
    YoloXRaw,
    /// YOLOX in input pixels.
    YoloXDecoded,
    /// Boxes and scores in two outputs.
    Ssd,
    /// RT-DETR and D-FINE.
    Queries,
    /// FastestDet.
    FastestDet,
}

impl OutputLayout {
    /// Every layout.
    pub const ALL: [Self; 8] = [
        Self::YoloV5,
        Self::YoloV8,
        Self::YoloEndToEnd,
        Self::YoloXRaw,
        Self::YoloXDecoded,
        Self::Ssd,
        Self::Queries,
        Self::FastestDet,
    ];

    /// Its function in the parser library.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::YoloV5 => "VisionParseYoloV5",
            Self::YoloV8 => "VisionParseYoloV8",
            Self::YoloEndToEnd => "VisionParseYoloEndToEnd",
            Self::YoloXRaw => "VisionParseYoloXRaw",
            Self::YoloXDecoded => "VisionParseYoloXDecoded",
            Self::Ssd => "VisionParseSsd",
            Self::Queries => "VisionParseQueries",
            Self::FastestDet => "VisionParseFastestDet",
        }
    }

    /// Whether boxes of the same object remain in the outputs.
    #[must_use]
    pub const fn is_suppressed_by_nvinfer(self) -> bool {
        !matches!(self, Self::YoloEndToEnd | Self::Queries)
    }
}

/// The precision that TensorRT builds an engine for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point.
    #[default]
    Fp16,
}

impl Precision {
    /// `network-mode`.
    const fn network_mode(self) -> u8 {
        match self {
            Self::Fp32 => 0,
            Self::Fp16 => 2,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
        })
    }
}

/// How a picture is laid into an input of another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Keep the aspect ratio, pad evenly around it.
    Center,
    /// Keep the aspect ratio, pad on the right and below.
    TopLeft,
    /// Fill the input.
    Stretch,
}

/// What becomes of the pixels: `(pixel × scale − mean) ÷ std`, per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Multiplied first.
    pub scale: f32,
    /// Subtracted after `scale`.
    pub mean: [f32; 3],
    /// Divided by last.
    pub std: [f32; 3],
}

/// Everything that the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The model.
    pub onnx: PathBuf,
    /// What TensorRT makes of it: read where it is there, else written.
    pub engine: PathBuf,
    /// A file with a label a line.
    pub labels: PathBuf,
    /// How many labels.
    pub classes: usize,
    /// How the outputs are laid out.
    pub layout: OutputLayout,
    /// Width of the input in pixels.
    pub width: u32,
    /// Height of the input in pixels.
    pub height: u32,
    /// The dimensions of the input end in the channels.
    pub channels_last: bool,
    /// Blue comes first.
    pub blue_first: bool,
    /// What becomes of the pixels.
    pub normalization: Normalization,
    /// How a picture is laid in.
    pub fit: Fit,
    /// Pictures a run takes at the most.
    pub batch: usize,
    /// What TensorRT builds for.
    pub precision: Precision,
    /// The GPU's number.
    pub gpu: u32,
    /// Batches left out between two that are inferred.
    pub interval: u32,
    /// Scores below this are dropped.
    pub confidence: f32,
    /// Other thresholds by class.
    pub per_class: Vec<(u32, f32)>,
    /// Boxes of a class that overlap more than this are one object.
    pub iou: f32,
    /// Objects a class and frame at the most.
    pub max_objects: usize,
    /// The library that reads the outputs.
    pub parser_library: PathBuf,
    /// Its function, if not that of the layout.
    pub parser_function: Option<String>,
}

/// The id that objects of the detector carry (`gie-unique-id`).
pub const COMPONENT: i32 = 1;

/// A model that nvinfer cannot be told of.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InferenceError {
    /// A standard deviation for each channel.
    #[error(
        "spec.preprocess.std: nvinfer divides all channels by the same number, found {found:?}: put the division into the \
         model, give one number three times, or set serving.engine to Native"
    )]
    Deviations {
        /// What was asked for.
        found: [f32; 3],
    },
    /// Nothing is left of the pixels.
    #[error("spec.preprocess: scale and std must be numbers other than 0")]
    Scale,
    /// A path that breaks the file's format.
    #[error("{}: nvinfer's configuration cannot hold this path: keep to printable characters without line breaks and ;", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// The file's text for `version`.
///
/// # Errors
/// Where nvinfer cannot do what is asked for.
pub fn configuration(inference: &Inference, version: Version) -> Result<String, InferenceError> {
    let (factor, offsets) = normalization(inference.normalization)?;
    let mut text = String::from("[property]\n");
    let mut line = |key: &str, value: &dyn fmt::Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key}={value}");
    };
    line("gie-unique-id", &COMPONENT);
    line("process-mode", &1);
    line("network-type", &0);
    line("gpu-id", &inference.gpu);
    line("onnx-file", &path(&inference.onnx)?);
    line("model-engine-file", &path(&inference.engine)?);
    line("labelfile-path", &path(&inference.labels)?);
    line("num-detected-classes", &inference.classes);
    line("batch-size", &inference.batch);
    line("network-mode", &inference.precision.network_mode());
    line("interval", &inference.interval);
    let (width, height) = (inference.width, inference.height);
    line("infer-dims", &format_args!("3;{height};{width}"));
    // The usual order is not said: the oldest versions do not know the key.
    if inference.channels_last {
        line("network-input-order", &1);
    }
    line("model-color-format", &u8::from(inference.blue_first));
    line("net-scale-factor", &factor);
    if let Some([first, second, third]) = offsets {
        line("offsets", &format_args!("{first};{second};{third}"));
    }
    let (keep, symmetric) = match inference.fit {
        Fit::Center => (1, 1),
        Fit::TopLeft => (1, 0),
        Fit::Stretch => (0, 0),
    };
    line("maintain-aspect-ratio", &keep);
    // The key is known since 6.0. Without it the padding is on the right and below, and boxes are mapped back by that.
    if version >= Version::new(6, 0) {
        line("symmetric-padding", &symmetric);
    }
    // The default takes the nearest pixel; detectors are trained on pictures that were scaled smoothly.
    line("scaling-filter", &BILINEAR);
    // Else a box that reaches over the lower edge is dropped as a whole.
    if version >= Version::new(6, 0) {
        line("crop-objects-to-roi-boundary", &1);
    }
    line("custom-lib-path", &path(&inference.parser_library)?);
    let function = inference.parser_function.as_deref().unwrap_or(inference.layout.function());
    line("parse-bbox-func-name", &function);
    let suppressed = inference.layout.is_suppressed_by_nvinfer();
    let without_clustering = !suppressed && version >= WITHOUT_CLUSTERING;
    line("cluster-mode", &if without_clustering { 4 } else { 2 });

    let thresholds = |text: &mut String, group: &str, confidence: f32| {
        let _ = writeln!(text, "\n[class-attrs-{group}]\npre-cluster-threshold={confidence}");
        if !without_clustering {
            // Nothing overlaps by more than all.
            let iou = if suppressed { inference.iou } else { 1.0 };
            let _ = writeln!(text, "nms-iou-threshold={iou}");
        }
        let _ = writeln!(text, "topk={}", inference.max_objects);
    };
    thresholds(&mut text, "all", inference.confidence);
    for (class, confidence) in &inference.per_class {
        thresholds(&mut text, &class.to_string(), *confidence);
    }
    Ok(text)
}

/// Factor and offsets: `(pixel × scale − mean) ÷ std = scale ÷ std × (pixel − mean ÷ scale)`.
fn normalization(wanted: Normalization) -> Result<(f32, Option<[f32; 3]>), InferenceError> {
    let Normalization { scale, mean, std } = wanted;
    if std.iter().any(|value| (value - std[0]).abs() > f32::EPSILON * std[0].abs()) {
        return Err(InferenceError::Deviations { found: std });
    }
    let factor = scale / std[0];
    if !factor.is_normal() || !scale.is_normal() {
        return Err(InferenceError::Scale);
    }
    let offsets = mean.map(|mean| mean / scale);
    Ok((factor, offsets.iter().any(|offset| *offset != 0.0).then_some(offsets)))
}

fn path(path: &Path) -> Result<&str, InferenceError> {
    let refused = || InferenceError::Path { path: path.to_owned() };
    let text = path.to_str().ok_or_else(refused)?;
    if text.is_empty() || text.contains(';') || text.chars().any(char::is_control) { Err(refused()) } else { Ok(text) }
}

/// What an engine of TensorRT depends on: a file made for anything else does not load, and is built anew over minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineKey<'a> {
    /// Of the ONNX file, in hexadecimal digits.
    pub model_digest: &'a str,
    /// TensorRT's version; `None` if unknown.
    pub tensorrt: Option<&'a str>,
    /// The GPU's product name; `None` if unknown.
    pub gpu: Option<&'a str>,
    /// Pictures a run takes at the most.
    pub batch: usize,
    /// What it is built for.
    pub precision: Precision,
}

impl EngineKey<'_> {
    /// The name of its folder in a cache. Engines of different keys never share one.
    #[must_use]
    pub fn folder(&self) -> String {
        let plain = |text: &str| -> String {
            text.chars()
                .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' })
                .collect()
        };
        let digest = plain(self.model_digest.strip_prefix("sha256:").unwrap_or(self.model_digest));
        format!(
            "{digest}-trt{}-{}-b{}-{}",
            self.tensorrt.map_or_else(|| "unknown".to_owned(), plain),
            self.gpu.map_or_else(|| "unknown".to_owned(), plain),
            self.batch,
            self.precision
        )
    }

    /// The name that nvinfer itself gives to the engine that it builds of `onnx`, beside it.
    #[must_use]
    pub fn file_beside(&self, onnx: &Path, gpu: u32) -> PathBuf {
        let mut name = onnx.as_os_str().to_owned();
        name.push(format!("_b{}_gpu{gpu}_{}.engine", self.batch, self.precision));
        name.into()
    }
}

#[cfg(test)]
mod tests;
