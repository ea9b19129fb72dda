//! From output tensors to detections: one file per layout, pure functions over slices.
//!
//! A layout's decoder turns one picture's outputs into [`Candidate`]s in input pixels; what follows is the same for
//! all: suppression of overlaps where the layout asks for it, mapping back to the picture, clipping, the limit on the
//! number of objects. Numbers that are not finite never become a detection.

mod fastest_det;
mod queries;
mod ssd;
mod suppress;
mod yolo_end_to_end;
mod yolo_v5;
mod yolo_v8;
mod yolox;

use super::info::{Layout, Placement, Thresholds};
use crate::observation::{Detection, NormalizedBox};

/// One output of one picture.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Dimensions without the batch.
    pub shape: &'a [usize],
    /// Its values, the last dimension fastest.
    pub values: &'a [f32],
}

/// An output that does not look as its layout says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} was expected of a {layout} output, found {found}")]
pub struct ShapeError {
    layout: Layout,
    expected: String,
    found: String,
}

/// What a decoder must know of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How the outputs are read.
    pub layout: Layout,
    /// Number of classes.
    pub classes: usize,
    /// Input width in pixels.
    pub width: u32,
    /// Input height in pixels.
    pub height: u32,
    /// The first column of the scores stands for "nothing" ([`Layout::Ssd`]).
    pub background: bool,
}

/// A possible detection.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    class: u32,
    score: f32,
    /// Left, top, right, bottom in input pixels.
    corners: [f32; 4],
}

impl Candidate {
    fn from_center(class: u32, score: f32, [x, y, width, height]: [f32; 4]) -> Self {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Self { class, score, corners: [x - half_width, y - half_height, x + half_width, y + half_height] }
    }

    /// Whether it can be a detection: finite, and of some area.
    fn is_sound(&self) -> bool {
        let [left, top, right, bottom] = self.corners;
        self.score.is_finite() && self.corners.iter().all(|edge| edge.is_finite()) && left < right && top < bottom
    }
}

/// The lowest score that a class must have.
#[derive(Clone, Copy, Debug)]
struct Cutoffs<'a> {
    default: f32,
    per_class: &'a [(u32, f32)],
    /// No class is kept below this: lets a decoder skip most of a tensor before it looks at classes.
    lowest: f32,
}

impl<'a> Cutoffs<'a> {
    fn new(thresholds: &'a Thresholds) -> Self {
        let per_class = &*thresholds.per_class;
        let lowest = per_class.iter().map(|(_, cutoff)| *cutoff).fold(thresholds.confidence, f32::min);
        Self { default: thresholds.confidence, per_class, lowest }
    }

    fn keeps(&self, class: u32, score: f32) -> bool {
        let cutoff =
            self.per_class.iter().find(|(other, _)| *other == class).map_or(self.default, |(_, cutoff)| *cutoff);
        score >= cutoff
    }
}

/// The highest of `scores` and where it is; what is not a number is passed over.
fn best(scores: impl IntoIterator<Item = f32>) -> Option<(u32, f32)> {
    let mut best = None;
    let mut highest = f32::NEG_INFINITY;
    for (class, score) in (0..).zip(scores) {
        if score > highest {
            highest = score;
            best = Some((class, score));
        }
    }
    best
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// The one output of `outputs` if it has `dimensions` dimensions and holds as many values as they say.
fn single<'a>(layout: Layout, outputs: &[Output<'a>], dimensions: usize) -> Result<Output<'a>, ShapeError> {
    match outputs {
        [output] if output.shape.len() == dimensions && output.is_whole() => Ok(*output),
        _ => Err(ShapeError::new(layout, format!("one tensor of {dimensions} dimensions"), outputs)),
    }
}

impl Output<'_> {
    fn is_whole(&self) -> bool {
        self.shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)) == Some(self.values.len())
    }
}

impl ShapeError {
    fn new(layout: Layout, expected: impl Into<String>, outputs: &[Output<'_>]) -> Self {
        let found: Vec<String> = outputs
            .iter()
            .map(|output| {
                let sizes: Vec<Option<usize>> = output.shape.iter().copied().map(Some).collect();
                format!("{} of {} values", super::onnx::describe_shape(&sizes), output.values.len())
            })
            .collect();
        Self { layout, expected: expected.into(), found: found.join(" and ") }
    }
}

/// Reads one picture's outputs: detections best first, boxes normalised to the picture and clipped to it.
///
/// # Errors
/// Where the outputs' shapes are not the layout's.
pub fn decode(
    head: &Head,
    outputs: &[Output<'_>],
    placement: Placement,
    thresholds: &Thresholds,
) -> Result<Vec<Detection>, ShapeError> {
    let cutoffs = Cutoffs::new(thresholds);
    let mut candidates = Vec::new();
    match head.layout {
        Layout::YoloV5 | Layout::YoloXDecoded => yolo_v5::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::YoloV8 => yolo_v8::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::YoloEndToEnd => yolo_end_to_end::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::YoloXRaw => yolox::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::Ssd => ssd::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::Queries => queries::collect(head, outputs, cutoffs, &mut candidates)?,
        Layout::FastestDet => fastest_det::collect(head, outputs, cutoffs, &mut candidates)?,
    }
    candidates.retain(Candidate::is_sound);
    if head.layout.is_suppressed_here() {
        suppress::suppress(&mut candidates, thresholds);
    } else {
        suppress::best_first(&mut candidates);
    }
    Ok(to_detections(&candidates, placement, thresholds.max_objects))
}

fn to_detections(candidates: &[Candidate], placement: Placement, max_objects: usize) -> Vec<Detection> {
    let (left, top) = (placement.x as f32, placement.y as f32);
    let (width, height) = (placement.width.max(1) as f32, placement.height.max(1) as f32);
    candidates
        .iter()
        .filter_map(|candidate| {
            let [x1, y1, x2, y2] = candidate.corners;
            let x = ((x1 - left) / width).clamp(0.0, 1.0);
            let y = ((y1 - top) / height).clamp(0.0, 1.0);
            let bounding_box = NormalizedBox {
                x,
                y,
                width: ((x2 - left) / width).clamp(0.0, 1.0) - x,
                height: ((y2 - top) / height).clamp(0.0, 1.0) - y,
            };
            // Nothing is left of a box that lies in the padding.
            (bounding_box.width > 0.0 && bounding_box.height > 0.0).then_some(Detection {
                class: candidate.class,
                confidence: candidate.score.clamp(0.0, 1.0),
                bounding_box,
            })
        })
        .take(max_objects)
        .collect()
}

#[cfg(test)]
mod tests;
