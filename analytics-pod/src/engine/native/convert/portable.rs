//! The conversion's inner loops for any processor.

use super::{
    plan::{COLUMN_BITS, ColorTransform, ColumnMode, Columns, ROW_BITS},
    rows::{Blended, OutputRows},
};

/// One sample between two rows, with [`ROW_BITS`] fractional bits; `weight` is the second's share in 1/2^15.
pub(super) fn blend_sample(first: u8, second: u8, weight: i16) -> i16 {
    let (first, second) = (i32::from(first), i32::from(second));
    let step = ((second - first) << ROW_BITS) * i32::from(weight);
    ((first << ROW_BITS) + ((step + (1 << 14)) >> 15)) as i16
}

/// Blends two rows of samples.
pub(super) fn blend(first: &[u8], second: &[u8], weight: i16, out: &mut [i16]) {
    for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
        *out = blend_sample(first, second, weight);
    }
}

/// Blends two rows of alternating samples into two rows.
pub(super) fn blend_alternating(first: &[u8], second: &[u8], weight: i16, out: [&mut [i16]; 2]) {
    let [even, odd] = out;
    let pairs = first.chunks_exact(2).zip(second.chunks_exact(2));
    for ((even, odd), (first, second)) in even.iter_mut().zip(odd).zip(pairs) {
        *even = blend_sample(first[0], second[0], weight);
        *odd = blend_sample(first[1], second[1], weight);
    }
}

/// Blends two rows of packed pixels into a row for each colour.
pub(super) fn blend_packed(
    first: &[u8],
    second: &[u8],
    weight: i16,
    (step, offsets): (u8, [u8; 3]),
    out: &mut [Vec<i16>; 3],
) {
    let step = usize::from(step);
    for (out, offset) in out.iter_mut().zip(offsets.map(usize::from)) {
        let pixels = first.chunks_exact(step).zip(second.chunks_exact(step));
        for (out, (first, second)) in out.iter_mut().zip(pixels) {
            *out = blend_sample(first[offset], second[offset], weight);
        }
    }
}

fn sample(row: &[i16], columns: &Columns, x: usize) -> i32 {
    if columns.mode == ColumnMode::Identity {
        return i32::from(row[x]) << COLUMN_BITS;
    }
    let (index, weights) = (columns.index[x] as usize, columns.weights[x]);
    i32::from(row[index]) * i32::from(weights as i16) + i32::from(row[index + 1]) * (weights >> 16)
}

/// Writes output columns `from..` of a row.
pub(super) fn emit(rows: &Blended<'_>, color: &ColorTransform, out: &mut OutputRows<'_>, from: usize) {
    for x in from..out[0].len() {
        let samples = [
            sample(rows.planes[0], rows.luma, x) as f32,
            sample(rows.planes[1], rows.chroma, x) as f32,
            sample(rows.planes[2], rows.chroma, x) as f32,
        ];
        for (channel, out) in out.iter_mut().enumerate() {
            let [a, b, c] = color.matrix[channel];
            let value = samples[0] * a + samples[1] * b + samples[2] * c + color.offset[channel];
            out[x] = value.clamp(color.low[channel], color.high[channel]);
        }
    }
}
