//! Two outputs: boxes `N×4` (or `N×1×4`), left, top, right, bottom as shares of the input, and scores `N×C`, one
//! column per class after an optional one for the background.

use super::{Candidate, Cutoffs, Head, Output, ShapeError, best};

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let (boxes, scores) = pair(head, outputs)?;
    let columns = head.columns();
    let (width, height) = (head.width as f32, head.height as f32);
    for (corners, row) in boxes.values.chunks_exact(4).zip(scores.values.chunks_exact(columns)) {
        let Some((class, score)) = best(row[usize::from(head.background)..].iter().copied()) else { continue };
        if cutoffs.keeps(class, score) {
            let corners = [corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height];
            into.push(Candidate { class, score, corners });
        }
    }
    Ok(())
}

impl Head {
    /// Columns of the scores.
    pub(super) const fn columns(&self) -> usize {
        self.classes + self.background as usize
    }
}

/// The boxes and the scores, which the model's outputs are put in order for before.
pub(super) fn pair<'a>(head: &Head, outputs: &[Output<'a>]) -> Result<(Output<'a>, Output<'a>), ShapeError> {
    let columns = head.columns();
    if let [boxes, scores] = outputs
        && matches!(boxes.shape, [_, 4] | [_, 1, 4])
        && columns > 0
        && scores.shape == [boxes.shape[0], columns]
        && boxes.is_whole()
        && scores.is_whole()
    {
        return Ok((*boxes, *scores));
    }
    Err(ShapeError::new(head.layout, format!("N×4 and N×{columns}"), outputs))
}
