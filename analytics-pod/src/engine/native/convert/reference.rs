//! The conversion as its definition reads, in exact arithmetic, and the property that holds the fast one to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::{
    Converter, Kernel, Picture, PixelFormat,
    picture::Colorimetry,
    plan::{tap, to_rgb},
};
use crate::model::{ChannelOrder, ColorOrder, ElementType, Fit, InputSpec};

/// A picture that owns its planes.
#[derive(Clone, Debug)]
struct OwnedPicture {
    format: PixelFormat,
    colorimetry: Colorimetry,
    size: (usize, usize),
    planes: Vec<(Vec<u8>, usize)>,
}

impl OwnedPicture {
    /// Random samples, with rows `slack` bytes further apart than they need be.
    fn noise(
        format: PixelFormat,
        colorimetry: Colorimetry,
        size @ (width, height): (usize, usize),
        slack: usize,
        seed: u64,
    ) -> Self {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Extremes often, where rounding and clipping show.
            match state % 5 {
                0 => 0,
                1 => 255,
                _ => (state >> 32) as u8,
            }
        };
        let planes = (0..3)
            .filter_map(|index| format.plane_size(index, width, height))
            .map(|(row, rows)| ((0..(row + slack) * rows).map(|_| next()).collect(), row + slack))
            .collect();
        Self { format, colorimetry, size, planes }
    }

    fn view(&self) -> Picture<'_> {
        let planes: Vec<_> = self.planes.iter().map(|(data, stride)| (data.as_slice(), *stride)).collect();
        Picture::new(self.format, self.colorimetry, self.size, &planes).unwrap()
    }

    /// The three samples at (column, row) of the plane group's own grid.
    fn sample(&self, component: usize, x: usize, y: usize) -> f64 {
        let (plane, x) = match self.format {
            PixelFormat::Planar { .. } => (component, x),
            PixelFormat::Nv12 if component > 0 => (1, 2 * x + component - 1),
            PixelFormat::Nv12 | PixelFormat::Gray => (0, x),
            PixelFormat::Packed { step, offsets } => (0, x * usize::from(step) + usize::from(offsets[component])),
        };
        let (data, stride) = &self.planes[plane];
        f64::from(data[y * stride + x])
    }

    fn grid(&self, component: usize) -> (usize, usize) {
        let (width, height) = self.size;
        match self.format {
            _ if component == 0 => self.size,
            PixelFormat::Planar { chroma_x, chroma_y } => (
                if chroma_x == 0 { width } else { width.div_ceil(2) },
                if chroma_y == 0 { height } else { height.div_ceil(2) },
            ),
            PixelFormat::Nv12 => (width.div_ceil(2), height.div_ceil(2)),
            PixelFormat::Gray | PixelFormat::Packed { .. } => self.size,
        }
    }
}

/// What the whole input tensor should hold.
fn convert(picture: &OwnedPicture, input: &InputSpec) -> Vec<f64> {
    let placement = input.place(picture.size.0 as u32, picture.size.1 as u32);
    let (matrix, offset) = to_rgb(picture.format, picture.colorimetry);
    let (width, height) = (input.width as usize, input.height as usize);
    let mut output = Vec::with_capacity(3 * width * height);
    for channel in 0..3 {
        let color = if input.color_order == ColorOrder::Rgb { channel } else { 2 - channel };
        for y in 0..height {
            for x in 0..width {
                let column = x.checked_sub(placement.x as usize).filter(|&x| x < placement.width as usize);
                let row = y.checked_sub(placement.y as usize).filter(|&y| y < placement.height as usize);
                let pixel = if let (Some(column), Some(row)) = (column, row) {
                    let value: f64 = (0..3)
                        .filter(|&component| matrix[color][component] != 0.0)
                        .map(|component| {
                            let (columns, rows) = picture.grid(component);
                            let (x0, share_x) = tap(column, columns, placement.width as usize);
                            let (y0, share_y) = tap(row, rows, placement.height as usize);
                            let (x1, y1) = ((x0 + 1).min(columns - 1), (y0 + 1).min(rows - 1));
                            let across = |y: usize| {
                                picture.sample(component, x0, y) * (1.0 - share_x)
                                    + picture.sample(component, x1, y) * share_x
                            };
                            matrix[color][component] * (across(y0) * (1.0 - share_y) + across(y1) * share_y)
                        })
                        .sum();
                    (value + offset[color]).clamp(0.0, 255.0)
                } else {
                    f64::from(input.padding)
                };
                let normalised = pixel * f64::from(input.scale) - f64::from(input.mean[channel]);
                output.push(normalised / f64::from(input.std[channel]));
            }
        }
    }
    output
}

fn spec(width: u32, height: u32) -> InputSpec {
    InputSpec {
        width,
        height,
        element_type: ElementType::F32,
        channel_order: ChannelOrder::Nchw,
        color_order: ColorOrder::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        fit: Fit::LetterboxCenter,
        padding: 114,
        max_batch: 1,
    }
}

/// The largest difference from the reference in grey levels.
fn deviation(kernel: Kernel, picture: &OwnedPicture, input: &InputSpec) -> f64 {
    let size = (input.width * input.height) as usize;
    let mut output = vec![f32::NAN; 3 * size];
    let mut laid = None;
    let placement = Converter::new(input.clone(), kernel).convert(&picture.view(), &mut laid, &mut output);
    assert_eq!(laid, Some(placement));
    let expected = convert(picture, input);
    output
        .iter()
        .zip(&expected)
        .enumerate()
        .map(|(at, (&got, &expected))| {
            let gain = f64::from(input.scale) / f64::from(input.std[at / size]);
            assert!(got.is_finite(), "value {at} was not written");
            (f64::from(got) - expected).abs() / gain.abs()
        })
        .fold(0.0, f64::max)
}

fn formats() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![
        Just(PixelFormat::Planar { chroma_x: 1, chroma_y: 1 }),
        Just(PixelFormat::Planar { chroma_x: 1, chroma_y: 0 }),
        Just(PixelFormat::Planar { chroma_x: 0, chroma_y: 0 }),
        Just(PixelFormat::Nv12),
        Just(PixelFormat::Gray),
        Just(PixelFormat::Packed { step: 3, offsets: [2, 1, 0] }),
        Just(PixelFormat::Packed { step: 4, offsets: [1, 2, 3] }),
    ]
}

fn colorimetries() -> impl Strategy<Value = Colorimetry> {
    // BT.601, BT.709, BT.2020.
    (prop_oneof![Just((0.299, 0.114)), Just((0.2126, 0.0722)), Just((0.2627, 0.0593))], any::<bool>())
        .prop_map(|((kr, kb), full_range)| Colorimetry { kr, kb, full_range })
}

fn specs() -> impl Strategy<Value = InputSpec> {
    let fits = prop_oneof![Just(Fit::LetterboxCenter), Just(Fit::LetterboxTopLeft), Just(Fit::Stretch)];
    let normalisations = prop_oneof![
        Just((1.0, [0.0; 3], [1.0; 3])),
        Just((1.0 / 255.0, [0.0; 3], [1.0; 3])),
        Just((1.0 / 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
    ];
    (1_u32..70, 1_u32..70, fits, normalisations, any::<bool>()).prop_map(
        |(width, height, fit, (scale, mean, std), rgb)| InputSpec {
            fit,
            scale,
            mean,
            std,
            color_order: if rgb { ColorOrder::Rgb } else { ColorOrder::Bgr },
            ..spec(width, height)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_kernel_is_within_half_a_grey_level_of_the_reference(
        format in formats(),
        colorimetry in colorimetries(),
        size in (1_usize..150, 1_usize..100),
        slack in 0_usize..40,
        seed in any::<u64>(),
        input in specs(),
    ) {
        let picture = OwnedPicture::noise(format, colorimetry, size, slack, seed);
        for kernel in [Kernel::Portable, Kernel::detect()] {
            let deviation = deviation(kernel, &picture, &input);
            prop_assert!(deviation <= 0.5, "{kernel:?} is off by {deviation}");
        }
    }
}

#[test]
fn the_usual_sizes_are_within_half_a_grey_level_of_the_reference() {
    let i420 = PixelFormat::Planar { chroma_x: 1, chroma_y: 1 };
    // Exact halves, thirds, odd ratios, and up.
    for (from, to) in
        [((1280, 720), 640), ((1920, 1080), 640), ((1280, 720), 416), ((320, 180), 352), ((640, 360), 640)]
    {
        for format in [i420, PixelFormat::Nv12] {
            let picture = OwnedPicture::noise(format, Colorimetry::BT601, from, 3, 7);
            let deviation = deviation(Kernel::detect(), &picture, &spec(to, to));
            assert!(deviation <= 0.5, "{from:?} to {to}: off by {deviation}");
        }
    }
}

#[test]
fn video_black_white_and_red_become_black_white_and_red() {
    let format = PixelFormat::Planar { chroma_x: 1, chroma_y: 1 };
    // BT.601 limited range, from the standard's definition.
    for ([y, u, v], rgb) in [
        ([16, 128, 128], [0.0, 0.0, 0.0]),
        ([235, 128, 128], [255.0, 255.0, 255.0]),
        ([81, 90, 240], [254.4, 0.0, 0.0]),
    ] {
        let planes = [(vec![y; 64], 8), (vec![u; 16], 4), (vec![v; 16], 4)];
        let picture = OwnedPicture { format, colorimetry: Colorimetry::BT601, size: (8, 8), planes: planes.to_vec() };
        let mut output = vec![f32::NAN; 3 * 64];
        Converter::new(spec(8, 8), Kernel::detect()).convert(&picture.view(), &mut None, &mut output);
        for channel in 0..3 {
            assert!((output[channel * 64] - rgb[channel]).abs() < 0.6, "{:?}: {}", rgb, output[channel * 64]);
        }
    }
}

#[test]
fn padding_is_written_again_only_when_the_placement_changes() {
    let format = PixelFormat::Gray;
    let wide = OwnedPicture::noise(format, Colorimetry::BT601, (64, 32), 0, 1);
    let tall = OwnedPicture::noise(format, Colorimetry::BT601, (32, 64), 0, 1);
    let mut output = vec![0.0; 3 * 64 * 64];
    let mut laid = None;
    let mut converter = Converter::new(spec(64, 64), Kernel::detect());
    converter.convert(&wide.view(), &mut laid, &mut output);
    output[0] = -1.0;
    converter.convert(&wide.view(), &mut laid, &mut output);
    assert!((output[0] - -1.0).abs() < f32::EPSILON, "the padding above a picture of the same placement was written");
    converter.convert(&tall.view(), &mut laid, &mut output);
    assert!((output[0] - 114.0).abs() < f32::EPSILON, "the picture's old place was not padded");
}

#[test]
fn planes_shorter_than_the_size_are_refused() {
    let short = [0_u8; 10];
    let error = Picture::new(PixelFormat::Gray, Colorimetry::BT601, (4, 4), &[(&short, 4)]).unwrap_err();
    assert_eq!(error, super::PictureError::ShortPlane(0));
    let error = Picture::new(PixelFormat::Gray, Colorimetry::BT601, (4, 2), &[(&short, 3)]).unwrap_err();
    assert_eq!(error, super::PictureError::ShortPlane(0));
    assert!(Picture::new(PixelFormat::Gray, Colorimetry::BT601, (0, 2), &[(&short, 3)]).is_err());
}
