//! A decoded picture as its planes, whoever decoded it.

use gstreamer_video::{self as gst_video, VideoColorRange, VideoFormat, VideoFrameRef, prelude::*};

/// How the planes hold the samples; every sample is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// Three planes; chroma planes are halved as often as told.
    Planar {
        /// 1: chroma has half the columns.
        chroma_x: u8,
        /// 1: chroma has half the rows.
        chroma_y: u8,
    },
    /// A luma plane and a plane of alternating U and V with half the columns and rows.
    Nv12,
    /// A luma plane alone.
    Gray,
    /// One plane of pixels.
    Packed {
        /// Bytes a pixel.
        step: u8,
        /// Place of red, green and blue in a pixel.
        offsets: [u8; 3],
    },
}

impl PixelFormat {
    /// The format for what GStreamer calls it; `None` for those that are converted to I420 before.
    pub(crate) const fn from_gst(format: VideoFormat) -> Option<Self> {
        Some(match format {
            VideoFormat::I420 => Self::Planar { chroma_x: 1, chroma_y: 1 },
            VideoFormat::Y42b => Self::Planar { chroma_x: 1, chroma_y: 0 },
            VideoFormat::Y444 => Self::Planar { chroma_x: 0, chroma_y: 0 },
            VideoFormat::Nv12 => Self::Nv12,
            VideoFormat::Gray8 => Self::Gray,
            VideoFormat::Rgb => Self::Packed { step: 3, offsets: [0, 1, 2] },
            VideoFormat::Bgr => Self::Packed { step: 3, offsets: [2, 1, 0] },
            VideoFormat::Rgba | VideoFormat::Rgbx => Self::Packed { step: 4, offsets: [0, 1, 2] },
            VideoFormat::Bgra | VideoFormat::Bgrx => Self::Packed { step: 4, offsets: [2, 1, 0] },
            VideoFormat::Argb | VideoFormat::Xrgb => Self::Packed { step: 4, offsets: [1, 2, 3] },
            VideoFormat::Abgr | VideoFormat::Xbgr => Self::Packed { step: 4, offsets: [3, 2, 1] },
            _ => return None,
        })
    }

    /// Bytes in a row and rows of plane `index` of a picture; `None` where the format has no such plane.
    pub(super) fn plane_size(self, index: usize, width: usize, height: usize) -> Option<(usize, usize)> {
        let halved = |size: usize, shift: u8| if shift == 0 { size } else { size.div_ceil(2) };
        match (self, index) {
            (Self::Planar { .. } | Self::Nv12 | Self::Gray, 0) => Some((width, height)),
            (Self::Planar { chroma_x, chroma_y }, 1 | 2) => Some((halved(width, chroma_x), halved(height, chroma_y))),
            (Self::Nv12, 1) => Some((2 * width.div_ceil(2), height.div_ceil(2))),
            (Self::Packed { step, .. }, 0) => Some((width * usize::from(step), height)),
            _ => None,
        }
    }
}

/// What the samples mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colorimetry {
    /// Weight of red in luma.
    pub(super) kr: f64,
    /// Weight of blue in luma.
    pub(super) kb: f64,
    /// Samples use 0–255 and not 16–235 (chroma 16–240).
    pub(super) full_range: bool,
}

impl Colorimetry {
    /// ITU-R BT.601, 16–235.
    pub(crate) const BT601: Self = Self { kr: 0.299, kb: 0.114, full_range: false };

    /// What the caps say. Caps without colorimetry have `GStreamer`'s default: BT.601, above 576 lines BT.709. A matrix
    /// that is named as unknown is taken for BT.601.
    fn from_gst(info: &gst_video::VideoInfo) -> Self {
        let colorimetry = info.colorimetry();
        let (kr, kb) = colorimetry.matrix().kr_kb().unwrap_or((Self::BT601.kr, Self::BT601.kb));
        let full_range = match colorimetry.range() {
            VideoColorRange::Range0_255 => true,
            VideoColorRange::Range16_235 => false,
            _ => info.format_info().is_rgb(),
        };
        Self { kr, kb, full_range }
    }
}

/// Why a picture cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PictureError {
    /// A format without an entry in [`PixelFormat::from_gst`].
    #[error("pictures in format {0:?} cannot be read directly")]
    Format(VideoFormat),
    /// A plane's memory is smaller than its picture.
    #[error("plane {0} of the picture is shorter than its size says")]
    ShortPlane(usize),
    /// No pixels.
    #[error("the picture has no pixels")]
    Empty,
}

/// One plane: rows of `row` bytes, `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
    row: usize,
}

/// A picture that can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(super) format: PixelFormat,
    pub(super) colorimetry: Colorimetry,
    pub(super) width: usize,
    pub(super) height: usize,
    planes: [Plane<'a>; 3],
}

impl<'a> Picture<'a> {
    /// A picture over `planes` of (bytes, stride); every row that the size asks for is there.
    pub(crate) fn new(
        format: PixelFormat,
        colorimetry: Colorimetry,
        (width, height): (usize, usize),
        planes: &[(&'a [u8], usize)],
    ) -> Result<Self, PictureError> {
        if width == 0 || height == 0 {
            return Err(PictureError::Empty);
        }
        let mut checked = [Plane { data: &[], stride: 0, row: 0 }; 3];
        for (index, plane) in checked.iter_mut().enumerate() {
            let Some((row, rows)) = format.plane_size(index, width, height) else { continue };
            let &(data, stride) = planes.get(index).ok_or(PictureError::ShortPlane(index))?;
            let needed = stride.checked_mul(rows - 1).and_then(|bytes| bytes.checked_add(row));
            if stride < row || needed.is_none_or(|needed| needed > data.len()) {
                return Err(PictureError::ShortPlane(index));
            }
            *plane = Plane { data, stride, row };
        }
        Ok(Self { format, colorimetry, width, height, planes: checked })
    }

    /// The picture in a mapped frame, without copying.
    pub(crate) fn from_frame(frame: &'a VideoFrameRef<&gstreamer::BufferRef>) -> Result<Self, PictureError> {
        let info = frame.info();
        let format = PixelFormat::from_gst(info.format()).ok_or(PictureError::Format(info.format()))?;
        let mut planes: [(&[u8], usize); 3] = [(&[], 0); 3];
        for (index, plane) in planes.iter_mut().enumerate().take(frame.n_planes() as usize) {
            let data = frame.plane_data(index as u32).map_err(|_| PictureError::ShortPlane(index))?;
            let stride = frame.plane_stride().get(index).copied().unwrap_or_default();
            *plane = (data, usize::try_from(stride).map_err(|_| PictureError::ShortPlane(index))?);
        }
        let size = (frame.width() as usize, frame.height() as usize);
        Self::new(format, Colorimetry::from_gst(info), size, &planes)
    }

    /// Row `y` of plane `index`.
    pub(super) fn row(&self, index: usize, y: usize) -> &'a [u8] {
        let Plane { data, stride, row } = self.planes[index];
        &data[y * stride..y * stride + row]
    }
}
