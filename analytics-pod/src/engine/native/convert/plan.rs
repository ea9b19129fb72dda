//! What converting pictures of one size and format into one input needs to know, computed once.

use super::picture::{Colorimetry, Picture, PixelFormat};
use crate::model::{ColorOrder, InputSpec, Placement};

/// Fractional bits of a row of samples after the vertical blend: 255 × 2^6 fits 16 signed bits.
pub(super) const ROW_BITS: u32 = 6;
/// Fractional bits of the horizontal weights: 1.0 fits 16 signed bits.
pub(super) const COLUMN_BITS: u32 = 14;
/// A sample of 1 after both blends.
const SAMPLE_ONE: f64 = (1_u32 << (ROW_BITS + COLUMN_BITS)) as f64;
/// Values that a row buffer holds beyond its row, so that a pair or a vector read at its end stays inside.
pub(super) const ROW_PADDING: usize = 16;

/// The two source rows of an output row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowTap {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Share of the second row, in 1/2^15.
    pub(super) weight: i16,
}

/// How source columns are read for output columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnMode {
    /// Output column x is source column x.
    Identity,
    /// Output column x blends source columns 2x and 2x + 1.
    Pairs,
    /// By the table.
    Table,
}

/// The two source columns of every output column, and their weights.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) mode: ColumnMode,
    /// The first of the two; the other is its right neighbour.
    pub(super) index: Vec<i32>,
    /// Weight of the first in the low 16 bits, of the second in the high, in 1/2^14.
    pub(super) weights: Vec<i32>,
    /// Source columns.
    pub(super) source: usize,
}

/// Where output position `position` of `to` lies among `from` source samples: the first of its two neighbours and the
/// share of the second, by half-pixel centres (the geometry of `OpenCV`'s `INTER_LINEAR`).
pub(super) fn tap(position: usize, from: usize, to: usize) -> (usize, f64) {
    let centre = (position as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let centre = centre.clamp(0.0, (from - 1) as f64);
    (centre as usize, centre.fract())
}

fn rows(from: usize, to: usize) -> Vec<RowTap> {
    (0..to)
        .map(|y| {
            let (first, share) = tap(y, from, to);
            RowTap { first, second: (first + 1).min(from - 1), weight: (share * 32768.0).round().min(32767.0) as i16 }
        })
        .collect()
}

fn columns(from: usize, to: usize) -> Columns {
    let one = f64::from(1_u32 << COLUMN_BITS);
    let (index, weights): (Vec<i32>, Vec<i32>) = (0..to)
        .map(|x| {
            let (mut first, mut share) = tap(x, from, to);
            // The last column has no right neighbour: it is the right one of the pair before.
            if first + 1 == from && from > 1 {
                (first, share) = (first - 1, 1.0);
            }
            let second = (share * one).round() as i32;
            (first as i32, ((one as i32) - second) | (second << 16))
        })
        .unzip();
    let mode = if from == to {
        ColumnMode::Identity
    } else if index.iter().enumerate().all(|(x, &first)| first as usize == 2 * x) {
        ColumnMode::Pairs
    } else {
        ColumnMode::Table
    };
    Columns { mode, index, weights, source: from }
}

/// Sampled planes → the input's channels: `matrix · samples + offset`, clipped to what pixels 0–255 become.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColorTransform {
    pub(super) matrix: [[f32; 3]; 3],
    pub(super) offset: [f32; 3],
    pub(super) low: [f32; 3],
    pub(super) high: [f32; 3],
}

/// Red, green and blue (0–255) from the three samples of a pixel: rows of a matrix, and offsets.
///
/// The YUV matrices follow from the luma weights as in ITU-R BT.601, BT.709 and BT.2020.
pub(super) fn to_rgb(format: PixelFormat, colorimetry: Colorimetry) -> ([[f64; 3]; 3], [f64; 3]) {
    let Colorimetry { kr, kb, full_range } = colorimetry;
    let (luma, black) = if full_range { (1.0, 0.0) } else { (255.0 / 219.0, 16.0) };
    match format {
        PixelFormat::Planar { .. } | PixelFormat::Nv12 => {
            let chroma = if full_range { 1.0 } else { 255.0 / 224.0 };
            let kg = 1.0 - kr - kb;
            let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
            let matrix = [[luma, 0.0, red], [luma, -blue * kb / kg, -red * kr / kg], [luma, blue, 0.0]];
            (matrix, matrix.map(|row| -row[0] * black - 128.0 * (row[1] + row[2])))
        }
        PixelFormat::Gray => ([[luma, 0.0, 0.0]; 3], [-luma * black; 3]),
        PixelFormat::Packed { .. } => ([[luma, 0.0, 0.0], [0.0, luma, 0.0], [0.0, 0.0, luma]], [-luma * black; 3]),
    }
}

impl ColorTransform {
    fn new(format: PixelFormat, colorimetry: Colorimetry, input: &InputSpec) -> Self {
        let (matrix, offset) = to_rgb(format, colorimetry);
        let mut transform = Self { matrix: [[0.0; 3]; 3], offset: [0.0; 3], low: [0.0; 3], high: [0.0; 3] };
        for channel in 0..3 {
            let color = match input.color_order {
                ColorOrder::Rgb => channel,
                ColorOrder::Bgr => 2 - channel,
            };
            let gain = f64::from(input.scale) / f64::from(input.std[channel]);
            let shift = -f64::from(input.mean[channel]) / f64::from(input.std[channel]);
            transform.matrix[channel] = matrix[color].map(|value| (value * gain / SAMPLE_ONE) as f32);
            transform.offset[channel] = (offset[color] * gain + shift) as f32;
            let (black, white) = (shift as f32, (255.0 * gain + shift) as f32);
            (transform.low[channel], transform.high[channel]) = (black.min(white), black.max(white));
        }
        transform
    }
}

/// A group of planes of the same size.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) rows: Vec<RowTap>,
    pub(super) columns: Columns,
}

impl Grid {
    fn new((width, height): (usize, usize), placement: Placement) -> Self {
        Self { rows: rows(height, placement.height as usize), columns: columns(width, placement.width as usize) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    format: PixelFormat,
    colorimetry: Colorimetry,
    size: (usize, usize),
    pub(super) placement: Placement,
    /// Of the first plane.
    pub(super) luma: Grid,
    /// Of the second and third plane.
    pub(super) chroma: Grid,
    pub(super) color: ColorTransform,
    /// A vertically blended row of each plane.
    pub(super) buffers: [Vec<i16>; 3],
}

impl Plan {
    pub(super) fn new(picture: &Picture<'_>, input: &InputSpec) -> Self {
        let size @ (width, height) = (picture.width, picture.height);
        let placement = input.place(width as u32, height as u32);
        let luma = Grid::new(size, placement);
        let chroma = match picture.format {
            PixelFormat::Planar { chroma_x: 0, chroma_y: 0 } | PixelFormat::Gray | PixelFormat::Packed { .. } => {
                luma.clone()
            }
            PixelFormat::Planar { chroma_x, chroma_y } => {
                let halved = |size: usize, shift: u8| if shift == 0 { size } else { size.div_ceil(2) };
                Grid::new((halved(width, chroma_x), halved(height, chroma_y)), placement)
            }
            PixelFormat::Nv12 => Grid::new((width.div_ceil(2), height.div_ceil(2)), placement),
        };
        let buffers = [luma.columns.source, chroma.columns.source, chroma.columns.source]
            .map(|columns| vec![0; columns + ROW_PADDING]);
        Self {
            format: picture.format,
            colorimetry: picture.colorimetry,
            size,
            placement,
            luma,
            chroma,
            color: ColorTransform::new(picture.format, picture.colorimetry, input),
            buffers,
        }
    }

    /// Whether it was made for pictures like `picture`.
    pub(super) fn fits(&self, picture: &Picture<'_>) -> bool {
        self.format == picture.format
            && self.size == (picture.width, picture.height)
            && self.colorimetry == picture.colorimetry
    }
}
