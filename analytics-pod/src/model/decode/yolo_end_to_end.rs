//! `N×6`: left, top, right, bottom in input pixels, score, class index, suppressed by the model itself (YOLOv10,
//! YOLO26, and exports with suppression built in). Rows that hold no object have score 0.

use super::{Candidate, Cutoffs, Head, Output, ShapeError, single};

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let output = single(head.layout, outputs, 2)?;
    if output.shape[1] != 6 {
        return Err(ShapeError::new(head.layout, "N×6", outputs));
    }
    into.extend(output.values.chunks_exact(6).filter_map(|row| {
        let (score, class) = (row[4], class_index(row[5], head.classes)?);
        cutoffs.keeps(class, score).then_some(Candidate { class, score, corners: [row[0], row[1], row[2], row[3]] })
    }));
    Ok(())
}

/// The class that a floating-point `value` stands for, if it is one of the model's.
pub(super) fn class_index(value: f32, classes: usize) -> Option<u32> {
    let index = value.round();
    (index >= 0.0 && index < classes as f32).then_some(index as u32)
}
