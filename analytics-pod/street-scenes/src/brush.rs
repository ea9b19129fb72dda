//! Paints shapes and shadows into pictures, and puts parts of a picture back.

use crate::figure::{Bounds, Shapes};
use crate::picture::Picture;
use crate::raster::{Chroma, Filler, Luma, Mask, mix};

/// Paints into pictures; keeps its buffers between calls.
#[derive(Default)]
pub(crate) struct Brush {
    filler: Filler,
    mask: Vec<u8>,
}

impl Brush {
    /// Paints shapes in their order.
    pub(crate) fn paint(&mut self, shapes: &Shapes, picture: &mut Picture) {
        let size = (picture.width as usize, picture.height as usize);
        let half = (size.0 / 2, size.1 / 2);
        for (points, [y, u, v]) in shapes.iter() {
            self.filler.fill(points, [0.0; 2], 1.0, &mut Luma { plane: &mut picture.y, size, value: y });
            let planes = [&mut picture.u[..], &mut picture.v[..]];
            self.filler.fill(points, [0.0; 2], 0.5, &mut Chroma { planes, size: half, values: [u, v] });
        }
    }

    /// Darkens the union of shapes by `strength` (0–1).
    pub(crate) fn darken(&mut self, shapes: &Shapes, strength: f32, picture: &mut Picture) {
        let Some((first, size)) = pixels(shapes.bounds(), picture) else { return };
        self.trace(shapes, first, size);
        let width = picture.width as usize;
        let keep: [u16; 256] =
            std::array::from_fn(|coverage| (256.0 - strength * 256.0 * coverage as f32 / 255.0).round() as u16);
        for (row, mask) in self.mask.chunks_exact(size.0).enumerate() {
            let start = (first.1 + row) * width + first.0;
            for (pixel, &coverage) in picture.y[start..start + size.0].iter_mut().zip(mask) {
                if coverage > 0 {
                    let above_black = u16::from(pixel.saturating_sub(16));
                    *pixel = 16 + ((above_black * keep[usize::from(coverage)]) >> 8) as u8;
                }
            }
        }
    }

    /// Fills `self.mask` with the coverage of shapes in a rectangle.
    fn trace(&mut self, shapes: &Shapes, first: (usize, usize), size: (usize, usize)) {
        self.mask.clear();
        self.mask.resize(size.0 * size.1, 0);
        let mut target = Mask { plane: &mut self.mask, size };
        for (points, _) in shapes.iter() {
            self.filler.fill(points, [first.0 as f32, first.1 as f32], 1.0, &mut target);
        }
    }

    /// Where shapes are in a picture.
    pub(crate) fn cut_out(&mut self, shapes: &Shapes, picture: &Picture) -> Cutout {
        let Some((first, size)) = pixels(shapes.bounds(), picture) else { return Cutout::default() };
        // Whole chroma samples, so that both planes start at the same place.
        let first = (first.0 & !1, first.1 & !1);
        let size =
            ((size.0 + 2).min(picture.width as usize - first.0), (size.1 + 2).min(picture.height as usize - first.1));
        let size = (size.0 & !1, size.1 & !1);
        self.trace(shapes, first, size);
        Cutout { first, size, mask: self.mask.clone() }
    }
}

/// The rectangle of whole pixels around bounds, first pixel and size; `None` when it is outside the picture.
fn pixels(bounds: &Bounds, picture: &Picture) -> Option<((usize, usize), (usize, usize))> {
    let inside = bounds.clip(picture.width, picture.height);
    if inside.is_empty() {
        return None;
    }
    let first = (inside.low[0] as usize, inside.low[1] as usize);
    let end = (inside.high[0].ceil() as usize, inside.high[1].ceil() as usize);
    Some((first, (end.0 - first.0, end.1 - first.1)))
}

/// Where something that stands is in the picture, to put its pixels back over what moves behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cutout {
    first: (usize, usize),
    size: (usize, usize),
    /// Coverage, 0–255.
    mask: Vec<u8>,
}

impl Cutout {
    /// Copies the covered pixels from `source` to `picture`.
    pub(crate) fn restore(&self, source: &Picture, picture: &mut Picture) {
        if self.mask.is_empty() {
            return;
        }
        let width = picture.width as usize;
        for (row, mask) in self.mask.chunks_exact(self.size.0).enumerate() {
            let start = (self.first.1 + row) * width + self.first.0;
            let range = start..start + self.size.0;
            put_back(&mut picture.y[range.clone()], &source.y[range], mask.iter().copied());
        }
        let half = width / 2;
        for (row, masks) in self.mask.chunks_exact(self.size.0 * 2).enumerate() {
            let start = (self.first.1 / 2 + row) * half + self.first.0 / 2;
            let range = start..start + self.size.0 / 2;
            let (upper, lower) = masks.split_at(self.size.0);
            let coverage = || {
                upper.chunks_exact(2).zip(lower.chunks_exact(2)).map(|(a, b)| {
                    let sum: u16 = a.iter().chain(b).map(|&value| u16::from(value)).sum();
                    (sum / 4) as u8
                })
            };
            put_back(&mut picture.u[range.clone()], &source.u[range.clone()], coverage());
            put_back(&mut picture.v[range.clone()], &source.v[range], coverage());
        }
    }
}

fn put_back(pixels: &mut [u8], source: &[u8], coverage: impl Iterator<Item = u8>) {
    for ((pixel, &original), coverage) in pixels.iter_mut().zip(source).zip(coverage) {
        match coverage {
            0 => {}
            255 => *pixel = original,
            part => *pixel = mix(*pixel, original, f32::from(part) / 255.0),
        }
    }
}
