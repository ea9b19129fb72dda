//! The conversion's inner loops for x86 processors with AVX2 and FMA.
//!
//! The arithmetic is that of [`portable`](super::portable): the vertical blend is the same to the bit, the colours
//! differ in the last bit of an `f32` because of fused multiply-adds.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_and_si256, _mm256_cvtepi16_epi32,
    _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16, _mm256_fmadd_ps, _mm256_i32gather_epi32, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_max_ps, _mm256_min_ps, _mm256_mulhrs_epi16, _mm256_set1_epi16, _mm256_set1_ps,
    _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_storeu_si256, _mm256_sub_epi16,
};

use super::{
    plan::{COLUMN_BITS, ColorTransform, ColumnMode, Columns, ROW_BITS},
    portable,
    rows::{Blended, OutputRows},
};

/// Proof that this processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

#[allow(clippy::unused_self, reason = "the value is the proof that the features are there")]
impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    pub(super) fn blend(self, first: &[u8], second: &[u8], weight: i16, out: &mut [i16]) {
        // SAFETY: a value of this type exists only where the processor has the features.
        unsafe { blend(first, second, weight, out) }
    }

    pub(super) fn blend_alternating(self, first: &[u8], second: &[u8], weight: i16, out: [&mut [i16]; 2]) {
        // SAFETY: a value of this type exists only where the processor has the features.
        unsafe { blend_alternating(first, second, weight, out) }
    }

    pub(super) fn emit(self, rows: &Blended<'_>, color: &ColorTransform, out: &mut OutputRows<'_>) {
        use ColumnMode::{Identity, Pairs, Table};
        let emit = match (rows.luma.mode, rows.chroma.mode) {
            (Identity, Identity) => emit::<IDENTITY, IDENTITY>,
            (Identity, Pairs) => emit::<IDENTITY, PAIRS>,
            (Identity, Table) => emit::<IDENTITY, TABLE>,
            (Pairs, Identity) => emit::<PAIRS, IDENTITY>,
            (Pairs, Pairs) => emit::<PAIRS, PAIRS>,
            (Pairs, Table) => emit::<PAIRS, TABLE>,
            (Table, Identity) => emit::<TABLE, IDENTITY>,
            (Table, Pairs) => emit::<TABLE, PAIRS>,
            (Table, Table) => emit::<TABLE, TABLE>,
        };
        // SAFETY: a value of this type exists only where the processor has the features.
        unsafe { emit(rows, color, out) }
    }
}

const IDENTITY: u8 = 0;
const PAIRS: u8 = 1;
const TABLE: u8 = 2;

/// Output columns done at once.
const LANES: usize = 8;

/// Blends 16 samples; see [`portable::blend_sample`], of which `_mm256_mulhrs_epi16` is the multiplication.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn blend16(first: __m256i, second: __m256i, weight: __m256i) -> __m256i {
    const BITS: i32 = ROW_BITS as i32;
    let step = _mm256_slli_epi16::<BITS>(_mm256_sub_epi16(second, first));
    _mm256_add_epi16(_mm256_slli_epi16::<BITS>(first), _mm256_mulhrs_epi16(step, weight))
}

#[target_feature(enable = "avx2,fma")]
fn blend(first: &[u8], second: &[u8], weight: i16, out: &mut [i16]) {
    let count = first.len().min(second.len()).min(out.len());
    let vectors = count / 16;
    let weights = _mm256_set1_epi16(weight);
    for vector in 0..vectors {
        let at = vector * 16;
        // SAFETY: at + 16 <= count, which no slice's length is below.
        unsafe {
            let a = _mm256_cvtepu8_epi16(_mm_loadu_si128(first.as_ptr().add(at).cast()));
            let b = _mm256_cvtepu8_epi16(_mm_loadu_si128(second.as_ptr().add(at).cast()));
            _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), blend16(a, b, weights));
        }
    }
    let done = vectors * 16;
    portable::blend(&first[done..count], &second[done..count], weight, &mut out[done..count]);
}

#[target_feature(enable = "avx2,fma")]
fn blend_alternating(first: &[u8], second: &[u8], weight: i16, out: [&mut [i16]; 2]) {
    let [even, odd] = out;
    let count = (first.len().min(second.len()) / 2).min(even.len()).min(odd.len());
    let vectors = count / 16;
    let weights = _mm256_set1_epi16(weight);
    let low_byte = _mm256_set1_epi16(0xFF);
    for vector in 0..vectors {
        let at = vector * 16;
        // SAFETY: at + 16 <= count; the inputs hold two bytes for each of `count`, the outputs one value.
        unsafe {
            let a = _mm256_loadu_si256(first.as_ptr().add(2 * at).cast());
            let b = _mm256_loadu_si256(second.as_ptr().add(2 * at).cast());
            let evens = blend16(_mm256_and_si256(a, low_byte), _mm256_and_si256(b, low_byte), weights);
            let odds = blend16(_mm256_srli_epi16::<8>(a), _mm256_srli_epi16::<8>(b), weights);
            _mm256_storeu_si256(even.as_mut_ptr().add(at).cast(), evens);
            _mm256_storeu_si256(odd.as_mut_ptr().add(at).cast(), odds);
        }
    }
    let done = vectors * 16;
    portable::blend_alternating(
        &first[2 * done..2 * count],
        &second[2 * done..2 * count],
        weight,
        [&mut even[done..count], &mut odd[done..count]],
    );
}

/// Samples at eight output columns from `x` on.
///
/// # Safety
/// `x + 8` columns are in `columns`, and `row` holds `columns.source` values and [`ROW_PADDING`](super::plan) more.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn sample8<const MODE: u8>(row: &[i16], columns: &Columns, x: usize) -> __m256 {
    const BITS: i32 = COLUMN_BITS as i32;
    // SAFETY: Identity reads row[x..x + 8] where source columns are as many as output columns. Pairs reads
    // row[2x..2x + 16], whose last pair is an index of the table. Table reads pairs of 16-bit values at indices of the
    // table, each below `columns.source`, so the pair's second value is in the padding at most. The table's own reads
    // are within its `x + 8` columns.
    let samples = unsafe {
        match MODE {
            IDENTITY => {
                let values: __m128i = _mm_loadu_si128(row.as_ptr().add(x).cast());
                _mm256_slli_epi32::<BITS>(_mm256_cvtepi16_epi32(values))
            }
            PAIRS => {
                let weights = _mm256_loadu_si256(columns.weights.as_ptr().add(x).cast());
                _mm256_madd_epi16(_mm256_loadu_si256(row.as_ptr().add(2 * x).cast()), weights)
            }
            _ => {
                let weights = _mm256_loadu_si256(columns.weights.as_ptr().add(x).cast());
                let index = _mm256_loadu_si256(columns.index.as_ptr().add(x).cast());
                _mm256_madd_epi16(_mm256_i32gather_epi32::<2>(row.as_ptr().cast(), index), weights)
            }
        }
    };
    _mm256_cvtepi32_ps(samples)
}

#[target_feature(enable = "avx2,fma")]
fn emit<const LUMA: u8, const CHROMA: u8>(rows: &Blended<'_>, color: &ColorTransform, out: &mut OutputRows<'_>) {
    let width = out[0].len();
    let inside = |plane: usize, columns: &Columns| {
        columns.index.len() >= width
            && columns.weights.len() >= width
            && rows.planes[plane].len() >= columns.source + super::plan::ROW_PADDING
    };
    assert!(inside(0, rows.luma) && inside(1, rows.chroma) && inside(2, rows.chroma));
    assert!(out[1].len() == width && out[2].len() == width);
    if width < LANES {
        return portable::emit(rows, color, out, 0);
    }
    let matrix = color.matrix.map(|row| row.map(|value| _mm256_set1_ps(value)));
    let offset = color.offset.map(|value| _mm256_set1_ps(value));
    let (low, high) = (color.low.map(|value| _mm256_set1_ps(value)), color.high.map(|value| _mm256_set1_ps(value)));
    let mut x = 0;
    loop {
        // SAFETY: x + 8 <= width, and the assertions above hold.
        let samples = unsafe {
            [
                sample8::<LUMA>(rows.planes[0], rows.luma, x),
                sample8::<CHROMA>(rows.planes[1], rows.chroma, x),
                sample8::<CHROMA>(rows.planes[2], rows.chroma, x),
            ]
        };
        for channel in 0..3 {
            let [a, b, c] = matrix[channel];
            let value = _mm256_fmadd_ps(samples[0], a, offset[channel]);
            let value = _mm256_fmadd_ps(samples[1], b, value);
            let value = _mm256_fmadd_ps(samples[2], c, value);
            let value = _mm256_min_ps(_mm256_max_ps(value, low[channel]), high[channel]);
            // SAFETY: x + 8 <= width, the length of every output row.
            unsafe { _mm256_storeu_ps(out[channel].as_mut_ptr().add(x), value) };
        }
        if x + LANES >= width {
            return;
        }
        // The last vector overlaps the one before where the width is no multiple of it.
        x = (x + LANES).min(width - LANES);
    }
}
