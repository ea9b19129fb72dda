//! The picture that scenes are drawn into, and colours.

/// A picture as planar YUV 4:2:0, BT.709 limited range, planes without padding between rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// `width × height` bytes.
    pub y: Vec<u8>,
    /// `width/2 × height/2` bytes.
    pub u: Vec<u8>,
    /// `width/2 × height/2` bytes.
    pub v: Vec<u8>,
}

impl Picture {
    /// A black picture. Odd sizes are rounded up to even ones.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let luma = width as usize * height as usize;
        Self { width, height, y: vec![16; luma], u: vec![128; luma / 4], v: vec![128; luma / 4] }
    }

    /// The picture as rows of 8-bit red, green and blue (chroma repeated, not interpolated).
    #[must_use]
    pub fn to_rgb(&self) -> Vec<u8> {
        let (width, half) = (self.width as usize, self.width as usize / 2);
        let mut rgb = Vec::with_capacity(self.y.len() * 3);
        for (row, luma) in self.y.chunks_exact(width).enumerate() {
            for (column, &y) in luma.iter().enumerate() {
                let chroma = (row / 2) * half + column / 2;
                rgb.extend(to_rgb([y, self.u[chroma], self.v[chroma]]));
            }
        }
        rgb
    }
}

/// Red, green and blue, display-referred, 0–1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rgb(pub(crate) [f32; 3]);

/// A colour from its usual 24-bit notation.
pub(crate) fn rgb(hex: u32) -> Rgb {
    Rgb([16, 8, 0].map(|shift| ((hex >> shift) & 0xFF) as f32 / 255.0))
}

impl Rgb {
    pub(crate) fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self([f(self.0[0], other.0[0]), f(self.0[1], other.0[1]), f(self.0[2], other.0[2])])
    }

    pub(crate) fn scale(self, factor: f32) -> Self {
        Self(self.0.map(|channel| channel * factor))
    }

    pub(crate) fn times(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    pub(crate) fn mix(self, other: Self, share: f32) -> Self {
        self.zip(other, |a, b| a + (b - a) * share)
    }

    /// Y, Cb, Cr of ITU-R BT.709, limited range, 8 bits.
    pub(crate) fn to_yuv(self) -> [u8; 3] {
        let [r, g, b] = self.0.map(|channel| channel.clamp(0.0, 1.0));
        let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let byte = |value: f32| (value + 0.5) as i32 as u8;
        [
            byte(16.0 + 219.0 * luma),
            byte(128.0 + 224.0 * (b - luma) / 1.8556),
            byte(128.0 + 224.0 * (r - luma) / 1.5748),
        ]
    }
}

/// The inverse of [`Rgb::to_yuv`] on bytes.
fn to_rgb([y, u, v]: [u8; 3]) -> [u8; 3] {
    let luma = (f32::from(y) - 16.0) / 219.0;
    let (cb, cr) = ((f32::from(u) - 128.0) / 224.0, (f32::from(v) - 128.0) / 224.0);
    let (red, blue) = (luma + 1.5748 * cr, luma + 1.8556 * cb);
    let green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152;
    [red, green, blue].map(|channel| (channel * 255.0).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_the_way_through_yuv() {
        for hex in [0x000000, 0xFFFFFF, 0xC03020, 0x2080C0, 0x445566] {
            let [r, g, b] = to_rgb(rgb(hex).to_yuv()).map(u32::from);
            let difference = [(hex >> 16) & 255, (hex >> 8) & 255, hex & 255]
                .into_iter()
                .zip([r, g, b])
                .map(|(want, got)| want.abs_diff(got))
                .max();
            assert!(difference <= Some(2), "{hex:06x} came back as {r},{g},{b}");
        }
    }

    #[test]
    fn odd_sizes_are_rounded_up() {
        let picture = Picture::new(3, 5);
        assert_eq!((picture.width, picture.height, picture.y.len(), picture.u.len()), (4, 6, 24, 6));
    }
}
