//! Decoded picture → the model's input, in one pass: scaled bilinearly into its placement, converted to the model's
//! colours, normalised and padded.
//!
//! Each plane is sampled at half-pixel centres as `OpenCV`'s `INTER_LINEAR` does, two source rows are blended into a
//! row buffer, and that row is sampled, multiplied by one 3×3 matrix (colour conversion and normalisation folded
//! together) and stored as three rows of floats. Results are within half a grey level of exact arithmetic.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod foreign;
mod kernel;
mod picture;
mod plan;
mod portable;
#[cfg(test)]
mod reference;
mod rows;

pub(crate) use foreign::{ForeignConverter, ForeignError};
pub(crate) use kernel::Kernel;
pub(crate) use picture::{Picture, PictureError, PixelFormat};
use plan::Plan;
use rows::Blended;

use crate::model::{InputSpec, Placement};

/// Plans kept: sizes that sources of one model have at the same time. One takes some tens of kilobytes.
const PLANS_KEPT: usize = 32;

/// Lays pictures into one model's input.
#[derive(Debug)]
pub(crate) struct Converter {
    input: InputSpec,
    kernel: Kernel,
    /// Last used last.
    plans: Vec<Plan>,
}

impl Converter {
    /// A converter for `input`.
    pub(crate) fn new(input: InputSpec, kernel: Kernel) -> Self {
        Self { input, kernel, plans: Vec::new() }
    }

    /// Writes `picture` into `output`, three planes of the input's size. `laid` is where the picture before lies in
    /// the same output (`None`: nothing has been written yet); the padding is written only where that changes.
    pub(crate) fn convert(
        &mut self,
        picture: &Picture<'_>,
        laid: &mut Option<Placement>,
        output: &mut [f32],
    ) -> Placement {
        let plan = match self.plans.iter().position(|plan| plan.fits(picture)) {
            Some(index) => self.plans.remove(index),
            None => Plan::new(picture, &self.input),
        };
        if self.plans.len() == PLANS_KEPT {
            self.plans.remove(0);
        }
        self.plans.push(plan);
        let last = self.plans.len() - 1;
        let plan = &mut self.plans[last];
        let placement = plan.placement;
        if *laid != Some(placement) {
            pad(&self.input, placement, output);
            *laid = Some(placement);
        }
        convert_rows(self.kernel, plan, picture, self.input.width as usize, output);
        placement
    }
}

/// Fills everything outside of `placement`.
fn pad(input: &InputSpec, placement: Placement, output: &mut [f32]) {
    let (width, height) = (input.width as usize, input.height as usize);
    let (left, top) = (placement.x as usize, placement.y as usize);
    let (right, bottom) = (left + placement.width as usize, top + placement.height as usize);
    for (channel, plane) in output.chunks_exact_mut(width * height).take(3).enumerate() {
        let value = (f32::from(input.padding) * input.scale - input.mean[channel]) / input.std[channel];
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            if (top..bottom).contains(&y) {
                row[..left].fill(value);
                row[right..].fill(value);
            } else {
                row.fill(value);
            }
        }
    }
}

fn convert_rows(kernel: Kernel, plan: &mut Plan, picture: &Picture<'_>, width: usize, output: &mut [f32]) {
    let Plan { placement, luma, chroma, color, buffers, .. } = plan;
    let columns = placement.x as usize..(placement.x + placement.width) as usize;
    let size = output.len() / 3;
    let (first, rest) = output.split_at_mut(size);
    let (second, third) = rest.split_at_mut(size);
    for (row, (luma_tap, chroma_tap)) in luma.rows.iter().zip(&chroma.rows).enumerate() {
        let tapped = |plane: usize, tap: &plan::RowTap| (picture.row(plane, tap.first), picture.row(plane, tap.second));
        let (a, b) = tapped(0, luma_tap);
        match picture.format {
            PixelFormat::Packed { step, offsets } => {
                portable::blend_packed(a, b, luma_tap.weight, (step, offsets), buffers);
            }
            PixelFormat::Gray => kernel.blend(a, b, luma_tap.weight, &mut buffers[0]),
            PixelFormat::Planar { .. } => {
                kernel.blend(a, b, luma_tap.weight, &mut buffers[0]);
                for plane in [1, 2] {
                    let (a, b) = tapped(plane, chroma_tap);
                    kernel.blend(a, b, chroma_tap.weight, &mut buffers[plane]);
                }
            }
            PixelFormat::Nv12 => {
                kernel.blend(a, b, luma_tap.weight, &mut buffers[0]);
                let (a, b) = tapped(1, chroma_tap);
                let [_, u, v] = buffers;
                kernel.blend_alternating(a, b, chroma_tap.weight, [u, v]);
            }
        }
        let rows =
            Blended { planes: [&buffers[0], &buffers[1], &buffers[2]], luma: &luma.columns, chroma: &chroma.columns };
        let start = (placement.y as usize + row) * width;
        let span = start + columns.start..start + columns.end;
        kernel.emit(&rows, color, &mut [&mut first[span.clone()], &mut second[span.clone()], &mut third[span]]);
    }
}
