//! From what the file says of itself and what the manifest says of it to how the model is fed and read. Where both
//! leave more than one way, the answer is a question that names the field which settles it, never a guess: a wrong
//! guess gives boxes that are wrong by a little.

use std::sync::Arc;

use super::{
    decode::Head,
    error::ModelError,
    info::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec, Layout, Thresholds},
    labels,
    onnx::{OnnxHeader, TensorInfo, TensorType, describe_shape},
    spec::{Device, ModelSpec, Precision},
};

/// How a model is fed and read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolved {
    /// What the decoder must know.
    pub head: Head,
    /// What the model takes.
    pub input: InputSpec,
    /// Name of the input for the picture.
    pub picture: String,
    /// Name of the input for the picture's size, where the model scales its boxes by itself.
    pub picture_size: Option<String>,
    /// Whether the file fixes the number of pictures of a run.
    pub fixed_batch: bool,
    /// Class names by index.
    pub labels: Arc<[Arc<str>]>,
    /// Where they are from, for a person.
    pub labels_from: String,
    /// What is kept where the source says nothing.
    pub thresholds: Thresholds,
    /// Outputs that are read, by index, in the decoder's order.
    pub outputs: Vec<usize>,
}

/// Scores below this are dropped where neither manifest nor source says otherwise.
const DEFAULT_CONFIDENCE: f32 = 0.25;
/// FastestDet's scores are geometric means, which lie higher than products.
const DEFAULT_CONFIDENCE_FASTEST_DET: f32 = 0.5;
/// Overlap above which two boxes of a class are one object.
const DEFAULT_IOU: f32 = 0.45;
/// Objects per frame at the most.
const DEFAULT_MAX_OBJECTS: usize = 300;
/// Pictures a run takes where the model takes any number and the manifest names none.
const DEFAULT_MAX_BATCH: usize = 1;
/// Largest input side that is taken for meant: past it a mistyped size would ask for gigabytes.
const MAX_SIDE: usize = 8192;
/// Pictures a run takes at the most, whatever the manifest says.
const MAX_BATCH: usize = 256;
/// Values of the input tensor that are taken for meant (1 GiB as 32-bit numbers).
const MAX_VALUES: usize = 1 << 28;
/// The value that the YOLO family pads with.
const PADDING: u8 = 114;

/// Finds out how the model of `header` is fed and read.
///
/// # Errors
/// Where the manifest contradicts the file, asks for what this build cannot do, or both together leave it open.
pub(super) fn resolve(spec: &ModelSpec, header: &OnnxHeader) -> Result<Resolved, ModelError> {
    let resolver = Resolver { spec, header };
    resolver.check_device()?;
    resolver.check_task()?;
    let (picture, channel_order) = resolver.picture()?;
    let picture_size = resolver.picture_size(picture)?;
    let (width, height) = resolver.size(picture, channel_order)?;
    let (max_batch, fixed_batch) = resolver.batch(picture)?;
    let names = resolver.names()?;
    let (layout, outputs) = resolver.layout(width, height, names.as_ref().map(|(names, _)| names.len()))?;
    let (labels, labels_from, background) = resolver.labels(layout, &outputs, names)?;
    let input_spec = resolver.input(layout, picture, channel_order, (width, height), max_batch)?;
    let thresholds = resolver.thresholds(layout, &labels)?;
    let head = Head { layout, classes: labels.len(), width, height, background };
    Ok(Resolved {
        head,
        input: input_spec,
        picture: picture.name.clone(),
        picture_size: picture_size.map(|size| size.name.clone()),
        fixed_batch,
        labels,
        labels_from,
        thresholds,
        outputs,
    })
}

struct Resolver<'a> {
    spec: &'a ModelSpec,
    header: &'a OnnxHeader,
}

/// Names with where they are from.
type Names = (Arc<[Arc<str>]>, String);

/// Names with where they are from, and whether the scores have a column for the background before theirs.
type Labels = (Arc<[Arc<str>]>, String, bool);

impl Resolver<'_> {
    fn unclear(&self, message: impl Into<String>) -> ModelError {
        ModelError::Unclear { model: self.spec.name.clone(), message: message.into() }
    }

    fn refused(&self, field: &'static str, message: impl Into<String>) -> ModelError {
        ModelError::Refused { model: self.spec.name.clone(), field: field.into(), message: message.into() }
    }

    fn check_device(&self) -> Result<(), ModelError> {
        if self.spec.device == Device::Gpu {
            return Err(self.refused("spec.device", "this build runs models on CPUs only; set it to Auto or CPU"));
        }
        let (asked, is, other) = match self.spec.precision {
            Precision::Fp32 if self.header.half_weights => ("FP32", "16-bit", "FP16"),
            Precision::Fp16 if !self.header.half_weights => ("FP16", "32-bit", "FP32"),
            _ => return Ok(()),
        };
        Err(self.refused(
            "spec.precision",
            format!(
                "{asked} is asked for, but the file's weights are {is} floating point; set it to Auto or {other}, or \
                 export the model again"
            ),
        ))
    }

    /// Ultralytics writes into the file what the model is for.
    fn check_task(&self) -> Result<(), ModelError> {
        match self.header.metadata.get("task").map(String::as_str) {
            None | Some("detect") => Ok(()),
            Some(task) => Err(self.unclear(format!(
                "the file says that it is for the task `{task}`; only detectors (task `detect`) can be used"
            ))),
        }
    }

    /// The input that takes the picture.
    fn picture(&self) -> Result<(&TensorInfo, ChannelOrder), ModelError> {
        let order = |input: &TensorInfo| match input.shape[..] {
            [_, Some(3), _, _] => Some(ChannelOrder::Nchw),
            [_, _, _, Some(3)] => Some(ChannelOrder::Nhwc),
            _ => None,
        };
        let mut pictures = self.header.inputs.iter().filter_map(|input| Some((input, order(input)?)));
        match (pictures.next(), pictures.next()) {
            (Some(picture), None) => Ok(picture),
            _ => Err(self.unclear(format!(
                "of its inputs ({}) not exactly one is a picture of three channels (1×3×H×W or 1×H×W×3)",
                list(&self.header.inputs)
            ))),
        }
    }

    /// The input that takes the size of the picture which boxes are scaled to (`orig_target_sizes` of RT-DETR, D-FINE
    /// and their relatives).
    fn picture_size(&self, picture: &TensorInfo) -> Result<Option<&TensorInfo>, ModelError> {
        let others: Vec<&TensorInfo> = self.header.inputs.iter().filter(|input| input.name != picture.name).collect();
        match others[..] {
            [] => Ok(None),
            [size] if size.element_type == TensorType::I64 && matches!(size.shape[..], [_, Some(2)]) => Ok(Some(size)),
            _ => Err(self.unclear(format!(
                "it takes more than a picture and its size ({}); export the detector without them",
                list(&self.header.inputs)
            ))),
        }
    }

    fn size(&self, picture: &TensorInfo, order: ChannelOrder) -> Result<(u32, u32), ModelError> {
        let (file_height, file_width) = match order {
            ChannelOrder::Nchw => (picture.shape[2], picture.shape[3]),
            ChannelOrder::Nhwc => (picture.shape[1], picture.shape[2]),
        };
        let asked = self.spec.input.map(|(width, height)| (width as usize, height as usize));
        let exported = self.header.metadata.get("imgsz").and_then(|size| parse_size(size));
        let (width, height) = match (file_width.zip(file_height), asked) {
            (Some(fixed), Some(asked)) if fixed != asked => {
                return Err(self.refused(
                    "spec.input",
                    format!("the file fixes its input at {}×{}; leave the field out", fixed.0, fixed.1),
                ));
            }
            (Some(fixed), _) => fixed,
            (None, Some(asked)) => {
                if file_width.is_some_and(|width| width != asked.0)
                    || file_height.is_some_and(|height| height != asked.1)
                {
                    return Err(self.refused(
                        "spec.input",
                        format!("{}×{} does not fit the file's input `{picture}`", asked.0, asked.1),
                    ));
                }
                asked
            }
            (None, None) => exported.ok_or_else(|| {
                self.unclear(format!(
                    "its input `{picture}` takes pictures of any size; set spec.input.width and spec.input.height to \
                     the size it was trained with"
                ))
            })?,
        };
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(self
                .refused("spec.input", format!("an input of {width}×{height} is outside 1–{MAX_SIDE} pixels a side")));
        }
        Ok((width as u32, height as u32))
    }

    /// Pictures a run takes at the most, and whether it takes exactly so many.
    fn batch(&self, picture: &TensorInfo) -> Result<(usize, bool), ModelError> {
        match (picture.shape[0], self.spec.max_batch) {
            (_, Some(asked)) if !(1..=MAX_BATCH).contains(&asked) => {
                Err(self.refused("spec.maxBatch", format!("it must lie between 1 and {MAX_BATCH}")))
            }
            (None, asked) => Ok((asked.unwrap_or(DEFAULT_MAX_BATCH), false)),
            (Some(fixed), _) if !(1..=MAX_BATCH).contains(&fixed) => {
                Err(self.unclear(format!("its input `{picture}` takes {fixed} pictures a run, not 1–{MAX_BATCH}")))
            }
            (Some(fixed), Some(asked)) if asked > fixed => Err(self.refused(
                "spec.maxBatch",
                format!(
                    "the file takes {fixed} picture{} a run; export it with a dynamic batch dimension, or leave the \
                     field out",
                    if fixed == 1 { "" } else { "s" },
                ),
            )),
            (Some(fixed), _) => Ok((fixed, true)),
        }
    }

    /// Names that the manifest or the file gives.
    fn names(&self) -> Result<Option<Names>, ModelError> {
        if let Some(labels) = &self.spec.labels {
            return Ok(Some((labels.clone(), "spec.labels".to_owned())));
        }
        let Some(text) = self.header.metadata.get("names") else { return Ok(None) };
        let names = labels::parse_names(text).ok_or_else(|| {
            self.unclear("the class names in the file (metadata `names`) cannot be read; set spec.labels")
        })?;
        Ok(Some((names, "the file's metadata `names`".to_owned())))
    }

    fn labels(&self, layout: Layout, outputs: &[usize], names: Option<Names>) -> Result<Labels, ModelError> {
        let columns = self.class_columns(layout, outputs);
        let Some((names, from)) = names else {
            let coco = || labels::COCO.map(Arc::from).into_iter().collect();
            let from = || "the 80 classes of COCO, because the file names none and has as many".to_owned();
            return match (columns, layout) {
                (Some(80), _) => Ok((coco(), from(), false)),
                (Some(81), Layout::Ssd) => Ok((coco(), from() + ", after a column for the background", true)),
                (Some(classes), _) => {
                    Err(self.unclear(format!("it has {classes} classes and names none; set spec.labels, in order")))
                }
                (None, _) => Err(self.unclear("its outputs do not tell its classes; set spec.labels, in order")),
            };
        };
        match columns {
            Some(columns) if layout == Layout::Ssd && columns == names.len() + 1 => Ok((names, from, true)),
            Some(columns) if columns != names.len() => Err(self.refused(
                "spec.labels",
                format!("{} names are given ({from}), but the {layout} outputs have {columns} classes", names.len()),
            )),
            _ => Ok((names, from, false)),
        }
    }

    /// Classes by the outputs' shapes, the background included; `None` where they do not tell.
    fn class_columns(&self, layout: Layout, outputs: &[usize]) -> Option<usize> {
        let shape = &self.header.outputs.get(*outputs.last()?)?.shape;
        let without = |size: Option<usize>, others: usize| size.and_then(|size| size.checked_sub(others));
        match layout {
            Layout::YoloV5 | Layout::YoloXRaw | Layout::YoloXDecoded => without(*shape.get(2)?, 5),
            Layout::YoloV8 => without(*shape.get(1)?, 4),
            Layout::FastestDet => without(*shape.get(1)?, 5),
            Layout::Ssd => *shape.get(2)?,
            Layout::Queries => match outputs.len() {
                1 => without(*shape.get(2)?, 4),
                2 => *shape.get(2)?,
                _ => None,
            },
            Layout::YoloEndToEnd => None,
        }
    }

    fn input(
        &self,
        layout: Layout,
        picture: &TensorInfo,
        channel_order: ChannelOrder,
        (width, height): (u32, u32),
        max_batch: usize,
    ) -> Result<InputSpec, ModelError> {
        if 3 * width as usize * height as usize * max_batch > MAX_VALUES {
            return Err(self.refused(
                "spec.maxBatch",
                format!("{max_batch} pictures of {width}×{height} would take more than 1 GiB; lower it"),
            ));
        }
        let element_type = match picture.element_type {
            TensorType::F32 => ElementType::F32,
            TensorType::F16 => ElementType::F16,
            TensorType::U8 => ElementType::U8,
            _ => return Err(self.unclear(format!("its input `{picture}` is neither f32, f16 nor u8"))),
        };
        let asked = &self.spec.preprocess;
        let (color_order, scale, fit) = match layout {
            Layout::YoloXRaw | Layout::YoloXDecoded => (ColorOrder::Bgr, 1.0, Fit::LetterboxTopLeft),
            Layout::FastestDet => (ColorOrder::Bgr, 1.0 / 255.0, Fit::Stretch),
            Layout::Ssd | Layout::Queries => (ColorOrder::Rgb, 1.0 / 255.0, Fit::Stretch),
            Layout::YoloV5 | Layout::YoloV8 | Layout::YoloEndToEnd => {
                (ColorOrder::Rgb, 1.0 / 255.0, Fit::LetterboxCenter)
            }
        };
        // Bytes cannot hold shares of 1: such a model scales by itself.
        let scale = if element_type == ElementType::U8 { 1.0 } else { scale };
        let input = InputSpec {
            width,
            height,
            element_type,
            channel_order,
            color_order: asked.color_order.unwrap_or(color_order),
            scale: asked.scale.unwrap_or(scale),
            mean: asked.mean.unwrap_or([0.0; 3]),
            std: asked.std.unwrap_or([1.0; 3]),
            fit: asked.fit.unwrap_or(fit),
            padding: PADDING,
            max_batch,
        };
        let numbers = [input.scale].into_iter().chain(input.mean).chain(input.std);
        if numbers.clone().any(|number| !number.is_finite()) || input.std.contains(&0.0) || input.scale == 0.0 {
            return Err(self.refused("spec.preprocess", "scale and std must be finite and not 0, mean finite"));
        }
        Ok(input)
    }

    fn thresholds(&self, layout: Layout, labels: &[Arc<str>]) -> Result<Thresholds, ModelError> {
        let confidence = match layout {
            Layout::FastestDet => DEFAULT_CONFIDENCE_FASTEST_DET,
            _ => DEFAULT_CONFIDENCE,
        };
        let per_class = self
            .spec
            .per_class
            .iter()
            .map(|(name, cutoff)| {
                let class = labels.iter().position(|label| **label == **name).ok_or_else(|| {
                    let nearest = labels
                        .iter()
                        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
                    let hint = nearest.map(|label| format!("; did you mean `{label}`?")).unwrap_or_default();
                    self.refused("spec.thresholds.perClass", format!("the model has no class `{name}`{hint}"))
                })?;
                Ok((class as u32, *cutoff))
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        let thresholds = Thresholds {
            confidence: self.spec.confidence.unwrap_or(confidence),
            iou: self.spec.iou.unwrap_or(DEFAULT_IOU),
            per_class: per_class.into(),
            class_agnostic: self.spec.class_agnostic,
            max_objects: self.spec.max_objects.unwrap_or(DEFAULT_MAX_OBJECTS),
        };
        let shares = [thresholds.confidence, thresholds.iou];
        if shares.iter().chain(thresholds.per_class.iter().map(|(_, cutoff)| cutoff)).any(|share| !is_share(*share)) {
            return Err(self.refused("spec.thresholds", "every threshold must lie between 0 and 1"));
        }
        Ok(thresholds)
    }
}

fn is_share(value: f32) -> bool {
    (0.0..=1.0).contains(&value)
}

fn list(tensors: &[TensorInfo]) -> String {
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Ultralytics' `imgsz`, height first: `[640, 640]` or `640`, as width and height.
fn parse_size(text: &str) -> Option<(usize, usize)> {
    let sizes: Vec<usize> = text
        .trim_matches(['[', ']', '(', ')'])
        .split(',')
        .map(|size| size.trim().parse().ok())
        .collect::<Option<_>>()?;
    match sizes[..] {
        [side] => Some((side, side)),
        [height, width] => Some((width, height)),
        _ => None,
    }
}

mod layout;

#[cfg(test)]
mod tests;
