//! Pictures in the processor's memory: planes, scaling, and colours.

use deepstream_standin::layout::{SurfaceParamsHead, color_format};

/// How pixels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A plane of luma, and one of both chromas at half the size.
    Nv12,
    /// Three planes, the chromas at half the size.
    I420,
    /// Four bytes a pixel.
    Rgba,
}

/// Rows begin at multiples of this, as those of NVIDIA's surfaces do: who takes the width for the pitch sees it.
const PITCH: usize = 256;

/// A plane of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bytes_per_pixel: usize,
    pub(crate) pitch: usize,
    pub(crate) offset: usize,
}

impl Format {
    /// Its planes for a picture of that size, one behind another.
    pub(crate) fn planes(self, width: usize, height: usize) -> Vec<Plane> {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let shapes: &[_] = match self {
            Self::Nv12 => &[(width, height, 1), (half_width, half_height, 2)],
            Self::I420 => &[(width, height, 1), (half_width, half_height, 1), (half_width, half_height, 1)],
            Self::Rgba => &[(width, height, 4)],
        };
        let mut offset = 0;
        let plane = |&(width, height, bytes_per_pixel): &(usize, usize, usize)| {
            let pitch = (width * bytes_per_pixel).next_multiple_of(PITCH);
            let plane = Plane { width, height, bytes_per_pixel, pitch, offset };
            offset += pitch * height;
            plane
        };
        shapes.iter().map(plane).collect()
    }
}

/// A picture of its own.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) format: Format,
    /// One of [`color_format`].
    pub(crate) color: i32,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) planes: Vec<Plane>,
    pub(crate) data: Box<[u8]>,
}

impl Picture {
    /// A picture of zeroes.
    pub(crate) fn new(format: Format, color: i32, width: usize, height: usize) -> Self {
        let planes = format.planes(width, height);
        let size = planes.last().map_or(0, |plane| plane.offset + plane.pitch * plane.height);
        Self { format, color, width, height, planes, data: vec![0; size].into() }
    }

    /// A black one: luma 0, chroma in the middle.
    pub(crate) fn black(format: Format, color: i32, width: usize, height: usize) -> Self {
        let mut picture = Self::new(format, color, width, height);
        if format != Format::Rgba
            && let Some(chroma) = picture.planes.get(1).map(|plane| plane.offset)
        {
            picture.data[chroma..].fill(128);
        }
        picture
    }

    /// The same for whoever only reads.
    pub(crate) fn view(&self) -> View<'_> {
        let planes = self.planes.iter().map(|plane| (*plane, &self.data[plane.offset..])).collect();
        View { format: self.format, color: self.color, width: self.width, height: self.height, planes }
    }
}

/// A picture of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    pub(crate) format: Format,
    /// One of [`color_format`].
    pub(crate) color: i32,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Planes and their bytes, the first pixel first.
    pub(crate) planes: Vec<(Plane, &'a [u8])>,
}

/// How a picture is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The pixel that is nearest.
    Nearest,
    /// Between four pixels.
    Bilinear,
}

/// Where a row or column of the target comes from: two of the source and the share of the second.
#[derive(Clone, Copy, Debug)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

/// Taps for `to` pixels from `from` pixels, at pixels' centres.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Tap> {
    let ratio = from as f64 / to.max(1) as f64;
    let last = from.saturating_sub(1);
    (0..to)
        .map(|index| {
            let centre = (index as f64 + 0.5) * ratio;
            match filter {
                Filter::Nearest => {
                    let nearest = (centre as usize).min(last);
                    Tap { first: nearest, second: nearest, share: 0.0 }
                }
                Filter::Bilinear => {
                    let place = (centre - 0.5).clamp(0.0, last as f64);
                    let first = place as usize;
                    let share = (place - first as f64) as f32;
                    Tap { first, second: (first + 1).min(last), share }
                }
            }
        })
        .collect()
}

/// The value of one byte of a pixel between four pixels.
fn sample(bytes: &[u8], plane: Plane, channel: usize, column: Tap, row: Tap) -> f32 {
    let at = |x: usize, y: usize| f32::from(bytes[y * plane.pitch + x * plane.bytes_per_pixel + channel]);
    let between = |a: f32, b: f32, share: f32| a + (b - a) * share;
    let across = |y: usize| between(at(column.first, y), at(column.second, y), column.share);
    between(across(row.first), across(row.second), row.share)
}

/// The nearest byte.
fn byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Scales `from` into `area` of `to`, which has the same format. Left and top must be even.
pub(crate) fn scale(from: &View<'_>, to: &mut Picture, area: Area, filter: Filter) {
    for ((source, bytes), target) in from.planes.iter().zip(&to.planes) {
        let share = |value: usize| value * target.width / to.width.max(1);
        let (left, width) = (share(area.left), share(area.width).max(1));
        let (top, height) =
            (area.top * target.height / to.height.max(1), (area.height * target.height / to.height.max(1)).max(1));
        if (source.width, source.height) == (width, height) {
            for row in 0..height {
                let length = width * source.bytes_per_pixel;
                let begin = target.offset + (top + row) * target.pitch + left * target.bytes_per_pixel;
                to.data[begin..begin + length].copy_from_slice(&bytes[row * source.pitch..][..length]);
            }
            continue;
        }
        let (columns, rows) = (taps(source.width, width, filter), taps(source.height, height, filter));
        for (y, row) in rows.iter().enumerate() {
            let begin = target.offset + (top + y) * target.pitch + left * target.bytes_per_pixel;
            for (x, column) in columns.iter().enumerate() {
                for channel in 0..target.bytes_per_pixel {
                    to.data[begin + x * target.bytes_per_pixel + channel] =
                        byte(sample(bytes, *source, channel, *column, *row));
                }
            }
        }
    }
}

/// How YCbCr becomes RGB.
#[derive(Clone, Copy, Debug)]
struct Matrix {
    luma_offset: f32,
    luma: f32,
    red: f32,
    green: (f32, f32),
    blue: f32,
}

impl Matrix {
    /// For a colour format: BT.601 unless it says BT.709, limited range unless it says extended.
    fn new(color: i32) -> Self {
        let (kr, kb) = match color {
            color_format::NV12_709 | color_format::NV12_709_ER => (0.2126, 0.0722),
            _ => (0.299, 0.114),
        };
        let full = matches!(color, color_format::NV12_ER | color_format::NV12_709_ER);
        let (luma_offset, luma, chroma) = if full { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        let kg = 1.0 - kr - kb;
        let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        Self { luma_offset, luma, red, green: (blue * kb / kg, red * kr / kg), blue }
    }

    /// Rounded once, at the end.
    fn rgb(&self, y: f32, cb: f32, cr: f32) -> [u8; 3] {
        let y = (y - self.luma_offset) * self.luma;
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        [byte(y + self.red * cr), byte(y - self.green.0 * cb - self.green.1 * cr), byte(y + self.blue * cb)]
    }
}

/// Scales `source` of `from` into `area` of a picture of red, green and blue bytes, `pitch` bytes a row.
pub(crate) fn scale_to_rgb(from: &View<'_>, source: Area, to: &mut [u8], pitch: usize, area: Area, filter: Filter) {
    let shift = |taps: Vec<Tap>, by: usize| -> Vec<Tap> {
        taps.into_iter().map(|tap| Tap { first: tap.first + by, second: tap.second + by, ..tap }).collect()
    };
    let columns = shift(taps(source.width, area.width, filter), source.left);
    let rows = shift(taps(source.height, area.height, filter), source.top);
    let half_columns = shift(taps(source.width.div_ceil(2), area.width, filter), source.left / 2);
    let half_rows = shift(taps(source.height.div_ceil(2), area.height, filter), source.top / 2);
    let matrix = Matrix::new(from.color);
    for y in 0..area.height {
        let begin = (area.top + y) * pitch + area.left * 3;
        for (x, pixel) in to[begin..begin + area.width * 3].chunks_exact_mut(3).enumerate() {
            let (plane, bytes) = from.planes[0];
            let rgb = match from.format {
                Format::Rgba => std::array::from_fn(|channel| byte(sample(bytes, plane, channel, columns[x], rows[y]))),
                Format::Nv12 | Format::I420 => {
                    let luma = sample(bytes, plane, 0, columns[x], rows[y]);
                    let (chroma, bytes) = from.planes[1];
                    let cb = sample(bytes, chroma, 0, half_columns[x], half_rows[y]);
                    let cr = if from.format == Format::Nv12 {
                        sample(bytes, chroma, 1, half_columns[x], half_rows[y])
                    } else {
                        let (chroma, bytes) = from.planes[2];
                        sample(bytes, chroma, 0, half_columns[x], half_rows[y])
                    };
                    matrix.rgb(luma, cb, cr)
                }
            };
            pixel.copy_from_slice(&rgb);
        }
    }
}

/// A surface that is drawn into.
#[derive(Debug)]
pub(crate) struct Canvas<'a> {
    format: Format,
    width: usize,
    height: usize,
    planes: Vec<Plane>,
    data: &'a mut [u8],
}

impl<'a> Canvas<'a> {
    /// # Safety
    /// The surface must be as it says, and nothing else may use its picture for `'a`.
    pub(crate) unsafe fn new(surface: &'a mut SurfaceParamsHead) -> Self {
        let (width, height) = (surface.width as usize, surface.height as usize);
        let format = match surface.color_format {
            color_format::RGBA => Format::Rgba,
            color_format::YUV420 => Format::I420,
            _ => Format::Nv12,
        };
        // SAFETY: as the caller warrants.
        let data = unsafe { std::slice::from_raw_parts_mut(surface.data.cast(), surface.data_size as usize) };
        Self { format, width, height, planes: format.planes(width, height), data }
    }

    /// Draws the border of an area, so many pixels wide, inside it.
    pub(crate) fn frame(&mut self, area: Area, border: usize, color: [f64; 4]) {
        let (right, bottom) = ((area.left + area.width).min(self.width), (area.top + area.height).min(self.height));
        for y in area.top..bottom {
            for x in area.left..right {
                let inner =
                    x >= area.left + border && x + border < right && y >= area.top + border && y + border < bottom;
                if !inner {
                    self.pixel(x, y, color);
                }
            }
        }
    }

    fn pixel(&mut self, x: usize, y: usize, [red, green, blue, _]: [f64; 4]) {
        let byte = |value: f64| (value.clamp(0.0, 1.0) * 255.0) as u8;
        let plane = self.planes[0];
        if self.format == Format::Rgba {
            let begin = plane.offset + y * plane.pitch + 4 * x;
            self.data[begin..begin + 4].copy_from_slice(&[byte(red), byte(green), byte(blue), 255]);
            return;
        }
        // BT.601, limited range.
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        self.data[plane.offset + y * plane.pitch + x] = (16.0 + 219.0 * luma) as u8;
        let chroma = [(blue - luma) / 1.772, (red - luma) / 1.402].map(|value| (128.0 + 224.0 * value) as u8);
        for (index, value) in chroma.into_iter().enumerate() {
            let (plane, channel) =
                if self.format == Format::Nv12 { (self.planes[1], index) } else { (self.planes[1 + index], 0) };
            let step = plane.bytes_per_pixel;
            self.data[plane.offset + (y / 2) * plane.pitch + (x / 2) * step + channel] = value;
        }
    }
}
