//! Queries of a transformer (RT-DETR, D-FINE and their relatives). Every query stands for one object, so nothing is
//! suppressed. Exporters write them in three forms:
//!
//! - `Q×4` centre x, centre y, width, height as shares of the input, and `Q×C` class logits;
//! - both in one, `Q×(4+C)`, the scores after the sigmoid (Ultralytics);
//! - `Q×4` left, top, right, bottom in pixels of the size that the model was given, `Q` scores and `Q` class indices,
//!   after the model's own post-processing (the official exports).

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best, sigmoid, ssd, yolo_end_to_end};

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    match outputs {
        [output] => joined(head, output, cutoffs, into)
            .ok_or_else(|| ShapeError::new(head.layout, format!("Q×{}", head.classes + 4), outputs)),
        [boxes, scores, classes] => finished(head, boxes, scores, classes, cutoffs, into)
            .ok_or_else(|| ShapeError::new(head.layout, "Q×4, Q and Q", outputs)),
        _ => {
            let (boxes, logits) = ssd::pair(head, outputs)?;
            for (center, row) in boxes.values.chunks_exact(4).zip(logits.values.chunks_exact(head.classes)) {
                let Some((class, logit)) = best(row.iter().copied()).filter(|(_, logit)| logit.is_finite()) else {
                    continue;
                };
                let score = sigmoid(logit);
                if cutoffs.keeps(class, score) {
                    into.push(Candidate::from_center(class, score, scaled(head, center)));
                }
            }
            Ok(())
        }
    }
}

fn joined(head: &Head, output: &Output<'_>, cutoffs: Cutoffs<'_>, into: &mut Vec<Candidate>) -> Option<()> {
    let columns = head.classes + 4;
    if !matches!(output.shape, [_, found] if *found == columns) || !output.is_whole() {
        return None;
    }
    for row in output.values.chunks_exact(columns) {
        let Some((class, score)) = best(row[4..].iter().copied()) else { continue };
        if cutoffs.keeps(class, score) {
            into.push(Candidate::from_center(class, score, scaled(head, row)));
        }
    }
    Some(())
}

fn finished(
    head: &Head,
    boxes: &Output<'_>,
    scores: &Output<'_>,
    classes: &Output<'_>,
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Option<()> {
    let [queries, 4] = *boxes.shape else { return None };
    if scores.shape != [queries] || classes.shape != [queries] || ![boxes, scores, classes].iter().all(|o| o.is_whole())
    {
        return None;
    }
    for ((corners, &score), &class) in boxes.values.chunks_exact(4).zip(scores.values).zip(classes.values) {
        let Some(class) = yolo_end_to_end::class_index(class, head.classes) else { continue };
        if cutoffs.keeps(class, score) {
            into.push(Candidate { class, score, corners: [corners[0], corners[1], corners[2], corners[3]] });
        }
    }
    Some(())
}

/// Shares of the input → input pixels.
fn scaled(head: &Head, center: &[f32]) -> [f32; 4] {
    let (width, height) = (head.width as f32, head.height as f32);
    [center[0] * width, center[1] * height, center[2] * width, center[3] * height]
}
