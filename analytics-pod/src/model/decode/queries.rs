//! Queries of a transformer (RT-DETR, D-FINE): `Q×4` centre x, centre y, width, height as shares of the input, and
//! `Q×C` class logits. Every query stands for one object, so nothing is suppressed.

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best, sigmoid, ssd};

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let (boxes, logits) = ssd::pair(head, outputs)?;
    let (width, height) = (head.width as f32, head.height as f32);
    for (center, row) in boxes.values.chunks_exact(4).zip(logits.values.chunks_exact(head.classes)) {
        let Some((class, logit)) = best(row.iter().copied()) else { continue };
        let score = sigmoid(logit);
        if logit.is_finite() && cutoffs.keeps(class, score) {
            let center = [center[0] * width, center[1] * height, center[2] * width, center[3] * height];
            into.push(Candidate::from_center(class, score, center));
        }
    }
    Ok(())
}
