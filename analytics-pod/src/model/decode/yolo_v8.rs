//! `(4+C)×N`: one row each for centre x, centre y, width and height in input pixels, then one per class (YOLOv8, 11,
//! 12). The classes of one anchor lie far apart, so the tensor is read in blocks of anchors, class by class.

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best, single};

/// Anchors at a time: their best scores stay in the first-level cache and the inner loop is one vector maximum.
const BLOCK: usize = 512;

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let output = single(head.layout, outputs, 2)?;
    let (rows, anchors) = (output.shape[0], output.shape[1]);
    if rows != head.classes + 4 || anchors == 0 {
        return Err(ShapeError::new(head.layout, format!("{}×N", head.classes + 4), outputs));
    }
    let (boxes, scores) = output.values.split_at(4 * anchors);
    let mut highest = [0.0_f32; BLOCK];
    for start in (0..anchors).step_by(BLOCK) {
        let length = BLOCK.min(anchors - start);
        let highest = &mut highest[..length];
        highest.fill(f32::NEG_INFINITY);
        for row in scores.chunks_exact(anchors) {
            for (highest, &score) in highest.iter_mut().zip(&row[start..start + length]) {
                // A NaN compares as false and is passed over.
                *highest = if score > *highest { score } else { *highest };
            }
        }
        for (offset, _) in highest.iter().enumerate().filter(|(_, score)| **score >= cutoffs.lowest) {
            let anchor = start + offset;
            // Only a few anchors get here: the class is looked up afterwards instead of being carried along.
            let Some((class, score)) = best(scores.chunks_exact(anchors).map(|row| row[anchor])) else { continue };
            if !cutoffs.keeps(class, score) {
                continue;
            }
            let center = [0, 1, 2, 3].map(|row| boxes[row * anchors + anchor]);
            into.push(Candidate::from_center(class, score, center));
        }
    }
    Ok(())
}
