//! The rows that the inner loops read and write.

use super::plan::Columns;

/// The vertically blended rows that an output row is made of.
pub(super) struct Blended<'a> {
    pub(super) planes: [&'a [i16]; 3],
    /// How the first plane's row is read.
    pub(super) luma: &'a Columns,
    /// How the other two are read.
    pub(super) chroma: &'a Columns,
}

/// The same row of the three output planes, cut to the picture's columns.
pub(super) type OutputRows<'a> = [&'a mut [f32]; 3];
