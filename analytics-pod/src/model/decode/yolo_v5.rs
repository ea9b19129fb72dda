//! `N×(5+C)`: centre x, centre y, width, height in input pixels, objectness, class scores (YOLOv5, YOLOv7, and YOLOX
//! exported with its decoding). A score is objectness × class.

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best, single};

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let output = single(head.layout, outputs, 2)?;
    let stride = head.classes + 5;
    if output.shape[1] != stride {
        return Err(ShapeError::new(head.layout, format!("N×{stride}"), outputs));
    }
    into.extend(output.values.chunks_exact(stride).filter_map(|row| {
        let (class, score) = score(row, cutoffs)?;
        Some(Candidate::from_center(class, score, [row[0], row[1], row[2], row[3]]))
    }));
    Ok(())
}

/// The class of a row and its score, if it is kept. A class score is at most 1, so a row whose objectness is below
/// every cutoff is out before its classes are looked at.
pub(super) fn score(row: &[f32], cutoffs: Cutoffs<'_>) -> Option<(u32, f32)> {
    let objectness = row[4];
    if objectness.is_nan() || objectness < cutoffs.lowest {
        return None;
    }
    let (class, probability) = best(row[5..].iter().copied())?;
    let score = objectness * probability;
    cutoffs.keeps(class, score).then_some((class, score))
}
