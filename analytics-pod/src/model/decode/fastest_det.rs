//! `(5+C)×H×W`, one cell of a single grid per position: objectness, the box, class probabilities (FastestDet).
//!
//! centre = (cell + tanh(offset)) ÷ grid, size = sigmoid(value), both shares of the input; score = objectness^0.6 ×
//! class^0.4 (`handle_preds` of the reference implementation).

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best, sigmoid, single};

const OBJECTNESS_POWER: f32 = 0.6;
const CLASS_POWER: f32 = 0.4;

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let output = single(head.layout, outputs, 3)?;
    let [channels, lines, columns] = [output.shape[0], output.shape[1], output.shape[2]];
    if channels != head.classes + 5 || lines * columns == 0 {
        return Err(ShapeError::new(head.layout, format!("{}×H×W", head.classes + 5), outputs));
    }
    let cells = lines * columns;
    let (objectness, rest) = output.values.split_at(cells);
    let (boxes, scores) = rest.split_at(4 * cells);
    // A class probability is at most 1, so objectness alone must reach this.
    let lowest = cutoffs.lowest.max(0.0).powf(1.0 / OBJECTNESS_POWER);
    for (cell, &objectness) in objectness.iter().enumerate().filter(|(_, value)| **value >= lowest) {
        let probabilities = scores.chunks_exact(cells).map(|plane| plane[cell]);
        let Some((class, probability)) = best(probabilities) else { continue };
        let score = objectness.powf(OBJECTNESS_POWER) * probability.powf(CLASS_POWER);
        if !cutoffs.keeps(class, score) {
            continue;
        }
        let value = |index: usize| boxes[index * cells + cell];
        let (line, column) = (cell / columns, cell % columns);
        let (width, height) = (head.width as f32, head.height as f32);
        let center = [
            (column as f32 + value(0).tanh()) / columns as f32 * width,
            (line as f32 + value(1).tanh()) / lines as f32 * height,
            sigmoid(value(2)) * width,
            sigmoid(value(3)) * height,
        ];
        into.push(Candidate::from_center(class, score, center));
    }
    Ok(())
}
