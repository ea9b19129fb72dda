//! What is known of a model once it is open, and how a picture is laid into its input.

use std::{fmt, sync::Arc};

/// How a detector's outputs are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `1×N×(5+C)` decoded centre boxes, objectness, classes (v5, v7).
    YoloV5,
    /// `1×(4+C)×N` centre boxes and classes (v8, v11, v12).
    YoloV8,
    /// `1×N×6` corner boxes, score, class, after suppression (v10, v26).
    YoloEndToEnd,
    /// `1×N×(5+C)` on the strides' grids, not decoded.
    YoloXRaw,
    /// `1×N×(5+C)` decoded centre boxes in input pixels.
    YoloXDecoded,
    /// Boxes and scores in two outputs.
    Ssd,
    /// Queries: normalised centre boxes and class logits in two outputs (RT-DETR, D-FINE).
    Queries,
    /// `1×(5+C)×H×W` objectness, box and classes a cell.
    FastestDet,
}

impl Layout {
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

    /// What `spec.layout` calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::YoloV5 => "YOLOv5",
            Self::YoloV8 => "YOLOv8",
            Self::YoloEndToEnd => "YOLOEndToEnd",
            Self::YoloXRaw => "YOLOXRaw",
            Self::YoloXDecoded => "YOLOXDecoded",
            Self::Ssd => "SSD",
            Self::Queries => "Queries",
            Self::FastestDet => "FastestDet",
        }
    }

    /// Whether boxes of the same object remain in the outputs.
    #[must_use]
    pub const fn is_suppressed_here(self) -> bool {
        !matches!(self, Self::YoloEndToEnd | Self::Queries)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Element type of the input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// Unsigned bytes.
    U8,
}

/// Order of the input tensor's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Order of the colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

impl fmt::Display for ColorOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
        })
    }
}

/// How a picture is laid into an input of another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Keep the aspect ratio, pad evenly around it.
    LetterboxCenter,
    /// Keep the aspect ratio, pad on the right and below.
    LetterboxTopLeft,
    /// Fill the input; the aspect ratio is lost.
    Stretch,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LetterboxCenter => "letterbox in the centre",
            Self::LetterboxTopLeft => "letterbox top left",
            Self::Stretch => "stretched",
        })
    }
}

/// What the model wants as input. A value is `(pixel × scale − mean) ÷ std`, pixel 0–255, per colour channel in
/// `color_order`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Element type of the tensor.
    pub element_type: ElementType,
    /// Order of its dimensions.
    pub channel_order: ChannelOrder,
    /// Order of its colours.
    pub color_order: ColorOrder,
    /// Multiplied first (1 or 1/255).
    pub scale: f32,
    /// Subtracted after `scale`, per channel.
    pub mean: [f32; 3],
    /// Divided by last, per channel.
    pub std: [f32; 3],
    /// How the picture is laid in.
    pub fit: Fit,
    /// Value of the padding, as a pixel 0–255 before `scale`.
    pub padding: u8,
    /// Pictures a run takes at the most.
    pub max_batch: usize,
}

/// Where a picture lies in the input tensor, in input pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl InputSpec {
    /// Where a picture of `width` × `height` pixels (both at least 1) is laid.
    #[must_use]
    pub fn place(&self, width: u32, height: u32) -> Placement {
        if self.fit == Fit::Stretch {
            return Placement { x: 0, y: 0, width: self.width, height: self.height };
        }
        let ratio = (f64::from(self.width) / f64::from(width)).min(f64::from(self.height) / f64::from(height));
        let fitted = |size: u32, limit: u32| ((f64::from(size) * ratio).round() as u32).clamp(1, limit);
        let (width, height) = (fitted(width, self.width), fitted(height, self.height));
        let (x, y) = match self.fit {
            Fit::LetterboxCenter => ((self.width - width) / 2, (self.height - height) / 2),
            Fit::LetterboxTopLeft | Fit::Stretch => (0, 0),
        };
        Placement { x, y, width, height }
    }
}

/// Which detections are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Scores below this are dropped.
    pub confidence: f32,
    /// Boxes of a class that overlap more than this are one object.
    pub iou: f32,
    /// Stricter or laxer confidence by class index.
    pub per_class: Arc<[(u32, f32)]>,
    /// Suppress overlaps across classes too.
    pub class_agnostic: bool,
    /// Objects per frame at the most, best first.
    pub max_objects: usize,
}

/// What is known of an open model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The `DetectionModel`'s name.
    pub name: Arc<str>,
    /// `sha256:` and the digest of the file.
    pub digest: Arc<str>,
    /// Version of the ONNX operator set.
    pub opset: i64,
    /// Class names by index.
    pub labels: Arc<[Arc<str>]>,
    /// Where the labels are from, for a person.
    pub labels_from: String,
    /// How its outputs are read.
    pub layout: Layout,
    /// What it takes.
    pub input: InputSpec,
    /// Names and shapes of its inputs and outputs, for a person (`images f32 1×3×416×416`).
    pub tensors: Vec<String>,
    /// What is kept where the source says nothing.
    pub thresholds: Thresholds,
}
