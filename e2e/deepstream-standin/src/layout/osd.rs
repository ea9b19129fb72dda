//! What is drawn: `NvOSD_*` and `NvDsDisplayMeta`. `NvOSD_RectParams` grew in 9.0, and with it all that holds one.

use std::ffi::c_char;

use super::batch::BaseMeta;
use crate::version::Epoch;

/// `NvOSD_ColorParams`: red, green, blue, alpha from 0 to 1.
pub type Color = [f64; 4];

/// `NvOSD_RectParams` up to 8.0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RectParams {
    /// Pixels of the mux's picture.
    pub left: f32,
    /// Pixels.
    pub top: f32,
    /// Pixels.
    pub width: f32,
    /// Pixels.
    pub height: f32,
    /// Pixels.
    pub border_width: u32,
    /// Of the border.
    pub border_color: Color,
    /// Whether it is filled.
    pub has_background: u32,
    /// For DeepStream.
    pub reserved: u32,
    /// Of the filling.
    pub background: Color,
    /// Whether `color_id` counts.
    pub has_color_info: i32,
    /// A colour by number.
    pub color_id: i32,
}

/// `NvOSD_RectParams` from 9.0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RotatedRectParams {
    /// The fields of every epoch.
    pub rect: RectParams,
    /// Degrees.
    pub rotation_angle: f32,
}

/// `NvOSD_FontParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FontParams {
    /// The font.
    pub name: *const c_char,
    /// Points.
    pub size: u32,
    /// Of the letters.
    pub color: Color,
}

/// `NvOSD_TextParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TextParams {
    /// The text, of `g_malloc`.
    pub text: *mut c_char,
    /// Pixels.
    pub x: u32,
    /// Pixels.
    pub y: u32,
    /// The font.
    pub font: FontParams,
    /// Whether there is a background.
    pub has_background: i32,
    /// Of the background.
    pub background: Color,
}

/// `NvOSD_MaskParams`, from 5.0 on, not in its preview.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MaskParams {
    /// Values.
    pub data: *mut f32,
    /// Bytes.
    pub size: u32,
    /// What is above belongs to the object.
    pub threshold: f32,
    /// Values a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// `NvOSD_LineParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LineParams {
    /// From x, from y, to x, to y, and the line's width, pixels.
    pub geometry: [u32; 5],
    /// Of the line.
    pub color: Color,
}

/// `NvOSD_ArrowParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ArrowParams {
    /// From x, from y, to x, to y, and the line's width, pixels.
    pub geometry: [u32; 5],
    /// Which end has a head.
    pub head: u32,
    /// Of the arrow.
    pub color: Color,
    /// For DeepStream.
    pub reserved: u32,
}

/// `NvOSD_CircleParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CircleParams {
    /// Centre x, centre y, radius, pixels.
    pub geometry: [u32; 3],
    /// Of the circle.
    pub color: Color,
    /// Whether it is filled.
    pub has_background: u32,
    /// Of the filling.
    pub background: Color,
    /// For DeepStream; from 8.0 on the line's width stands in what was padding.
    pub reserved: u32,
}

/// `NvDsDisplayMeta`, by the rectangle that it holds.
#[repr(C)]
#[derive(Debug)]
pub struct DisplayMeta<R> {
    /// What all metadata has.
    pub base: BaseMeta,
    /// How many there are of rectangles, texts, lines, arrows and circles.
    pub counts: [u32; 5],
    /// Rectangles.
    pub rects: [R; 16],
    /// Texts.
    pub texts: [TextParams; 16],
    /// Lines.
    pub lines: [LineParams; 16],
    /// Arrows.
    pub arrows: [ArrowParams; 16],
    /// Circles.
    pub circles: [CircleParams; 16],
    /// For users.
    pub misc: [i64; 4],
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// The size of what is drawn, in bytes.
#[must_use]
pub fn display_size(epoch: Epoch) -> usize {
    if epoch < Epoch::V9 { size_of::<DisplayMeta<RectParams>>() } else { size_of::<DisplayMeta<RotatedRectParams>>() }
}
