//! Chooses the inner loops for this processor.

use super::{
    plan::ColorTransform,
    portable,
    rows::{Blended, OutputRows},
};

/// The inner loops to use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    /// For any processor.
    Portable,
    /// For x86 processors with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
}

impl Kernel {
    /// The fastest that this processor runs.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = super::avx2::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    /// See [`portable::blend`].
    pub(super) fn blend(self, first: &[u8], second: &[u8], weight: i16, out: &mut [i16]) {
        match self {
            Self::Portable => portable::blend(first, second, weight, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.blend(first, second, weight, out),
        }
    }

    /// See [`portable::blend_alternating`].
    pub(super) fn blend_alternating(self, first: &[u8], second: &[u8], weight: i16, out: [&mut [i16]; 2]) {
        match self {
            Self::Portable => portable::blend_alternating(first, second, weight, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.blend_alternating(first, second, weight, out),
        }
    }

    /// Writes an output row.
    pub(super) fn emit(self, rows: &Blended<'_>, color: &ColorTransform, out: &mut OutputRows<'_>) {
        match self {
            Self::Portable => portable::emit(rows, color, out, 0),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.emit(rows, color, out),
        }
    }
}
