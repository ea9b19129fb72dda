//! `N×(5+C)` on the grids of strides 8, 16 and 32 (then 64), not decoded: a cell's row is the offset of the box's
//! centre in cells, the logarithm of its size in cells, objectness and class scores, the last two after the sigmoid.
//!
//! centre = (offset + cell) × stride, size = exp(value) × stride (Ge et al., YOLOX, 2021; `demo_postprocess` of the
//! reference implementation).

use super::{Candidate, Cutoffs, Head, Output, ShapeError, single, yolo_v5};

/// Strides of the grids, in their order in the output. Models with four grids (P6) add the fourth.
const STRIDES: [u32; 4] = [8, 16, 32, 64];

pub(super) fn collect(
    head: &Head,
    outputs: &[Output<'_>],
    cutoffs: Cutoffs<'_>,
    into: &mut Vec<Candidate>,
) -> Result<(), ShapeError> {
    let output = single(head.layout, outputs, 2)?;
    let stride = head.classes + 5;
    let levels = [3, 4].into_iter().find(|levels| cells(head, &STRIDES[..*levels]) == output.shape[0]);
    let (Some(levels), true) = (levels, output.shape[1] == stride) else {
        return Err(ShapeError::new(head.layout, format!("{}×{stride}", cells(head, &STRIDES[..3])), outputs));
    };
    let mut rows = output.values.chunks_exact(stride);
    for cell_size in &STRIDES[..levels] {
        let (columns, lines) = (head.width / cell_size, head.height / cell_size);
        let cell_size = *cell_size as f32;
        for line in 0..lines {
            for (column, row) in (0..columns).zip(&mut rows) {
                let Some((class, score)) = yolo_v5::score(row, cutoffs) else { continue };
                let center = [
                    (row[0] + column as f32) * cell_size,
                    (row[1] + line as f32) * cell_size,
                    row[2].exp() * cell_size,
                    row[3].exp() * cell_size,
                ];
                into.push(Candidate::from_center(class, score, center));
            }
        }
    }
    Ok(())
}

/// Cells of all grids together.
fn cells(head: &Head, strides: &[u32]) -> usize {
    strides.iter().map(|stride| (head.width / stride) as usize * (head.height / stride) as usize).sum()
}
