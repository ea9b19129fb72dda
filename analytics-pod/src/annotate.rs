//! Pictures with boxes: what was detected, drawn where it was detected.

use std::{convert::Infallible, fs, io, path::Path};

use embedded_graphics::{
    Pixel,
    draw_target::DrawTarget,
    geometry::{OriginDimensions, Point, Size},
    mono_font::{MonoTextStyleBuilder, ascii::FONT_9X15_BOLD},
    pixelcolor::{Rgb888, RgbColor},
    prelude::{Drawable, Primitive},
    primitives::{PrimitiveStyle, Rectangle},
    text::{Baseline, Text},
};
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, codecs::jpeg::JpegEncoder};

use crate::observation::{NormalizedBox, TrackedObject};

/// Quality of the JPEGs, 1–100.
const JPEG_QUALITY: u8 = 90;

/// Line width of a box in pixels for every 400 pixels of the picture's height.
const LINE_PER_HEIGHT: u32 = 400;

/// A picture that cannot be annotated.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// The decoder's picture cannot be turned into RGB.
    #[error("the picture cannot be converted to RGB: {0}")]
    Convert(String),
    /// The JPEG cannot be made.
    #[error("the JPEG cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
    /// The file cannot be written.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// A decoded picture that is kept until its objects are known; holds the decoder's memory, not a copy.
#[derive(Debug)]
pub(crate) struct KeptPicture {
    buffer: gst::Buffer,
    info: gst_video::VideoInfo,
}

impl KeptPicture {
    pub(crate) fn of(frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Self {
        Self { buffer: frame.buffer().to_owned(), info: frame.info().clone() }
    }

    fn to_rgb(&self) -> Result<RgbImage, AnnotateError> {
        let fail = |what: &str| AnnotateError::Convert(what.to_owned());
        let (width, height) = (self.info.width(), self.info.height());
        // The converter refuses to change either.
        let target = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
            .fps(self.info.fps())
            .interlace_mode(self.info.interlace_mode())
            .build()
            .map_err(|error| AnnotateError::Convert(error.to_string()))?;
        let converter = gst_video::VideoConverter::new(&self.info, &target, None)
            .map_err(|error| AnnotateError::Convert(error.to_string()))?;
        let source = gst_video::VideoFrame::from_buffer_readable(self.buffer.clone(), &self.info)
            .map_err(|_| fail("the decoder's memory cannot be read"))?;
        let buffer =
            gst::Buffer::with_size(target.size()).map_err(|error| AnnotateError::Convert(error.to_string()))?;
        let mut converted = gst_video::VideoFrame::from_buffer_writable(buffer, &target)
            .map_err(|_| fail("there is no memory for the picture"))?;
        converter.frame(&source, &mut converted);
        let stride = converted.plane_stride()[0] as usize;
        let data = converted.plane_data(0).map_err(|error| AnnotateError::Convert(error.to_string()))?;
        let row = width as usize * 3;
        let pixels =
            data.chunks(stride).take(height as usize).flat_map(|line| line.iter().take(row)).copied().collect();
        RgbImage::from_raw(width, height, pixels).ok_or_else(|| fail("the converted picture is too small"))
    }
}

/// Draws `objects` into `picture` and writes it as a JPEG.
pub(crate) fn write_annotated(
    picture: &KeptPicture,
    objects: &[TrackedObject],
    path: &Path,
) -> Result<(), AnnotateError> {
    let jpeg = annotated(picture, objects)?;
    fs::write(path, jpeg).map_err(|source| AnnotateError::Write { path: path.display().to_string(), source })
}

/// A JPEG of `picture` with `objects` drawn into it.
pub(crate) fn annotated(picture: &KeptPicture, objects: &[TrackedObject]) -> Result<Vec<u8>, AnnotateError> {
    let mut canvas = Canvas(picture.to_rgb()?);
    for object in objects {
        draw(&mut canvas, object);
    }
    let Canvas(picture) = canvas;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).write_image(
        picture.as_raw(),
        picture.width(),
        picture.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}

/// An RGB picture that embedded-graphics draws on; what lies outside is left out.
struct Canvas(RgbImage);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            let place = u32::try_from(point.x).ok().zip(u32::try_from(point.y).ok());
            if let Some(pixel) = place.and_then(|(x, y)| self.0.get_pixel_mut_checked(x, y)) {
                *pixel = Rgb([color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

fn draw(canvas: &mut Canvas, object: &TrackedObject) {
    let color = color_of(&object.label);
    let frame = pixels(&object.bounding_box, canvas.size());
    let line = (canvas.size().height / LINE_PER_HEIGHT).max(1);
    let Ok(()) = frame.into_styled(PrimitiveStyle::with_stroke(color, line)).draw(canvas);
    let id = object.track_id.map(|id| format!(" #{id}")).unwrap_or_default();
    let text = format!("{}{id} {:.0} %", object.label, object.confidence * 100.0);
    let style = MonoTextStyleBuilder::new()
        .font(&FONT_9X15_BOLD)
        .text_color(if luma(color) > 140 { Rgb888::BLACK } else { Rgb888::WHITE })
        .background_color(color)
        .build();
    let height = FONT_9X15_BOLD.character_size.height as i32;
    let above = frame.top_left - Point::new(0, height);
    let place = if above.y >= 0 { above } else { frame.top_left };
    let Ok(_) = Text::with_baseline(&text, place, style, Baseline::Top).draw(canvas);
}

fn pixels(area: &NormalizedBox, size: Size) -> Rectangle {
    let scaled = |share: f32, side: u32| (share * side as f32).round() as i32;
    let top_left = Point::new(scaled(area.x, size.width), scaled(area.y, size.height));
    let bottom_right =
        Point::new(scaled(area.x + area.width, size.width) - 1, scaled(area.y + area.height, size.height) - 1);
    Rectangle::with_corners(top_left, bottom_right.component_max(top_left))
}

/// The same label has the same colour in every picture: a hue from a hash (FNV-1a) of its name.
fn color_of(label: &str) -> Rgb888 {
    const PALETTE: [(u8, u8, u8); 8] = [
        (230, 60, 60),
        (60, 160, 240),
        (80, 200, 90),
        (250, 180, 40),
        (180, 100, 230),
        (60, 210, 200),
        (240, 120, 180),
        (170, 200, 50),
    ];
    let hash = label.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let (red, green, blue) = PALETTE[hash as usize % PALETTE.len()];
    Rgb888::new(red, green, blue)
}

/// Brightness by BT.601.
fn luma(color: Rgb888) -> u32 {
    (299 * u32::from(color.r()) + 587 * u32::from(color.g()) + 114 * u32::from(color.b())) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bounding_box: NormalizedBox) -> TrackedObject {
        TrackedObject { track_id: Some(7), label: "car".into(), confidence: 0.9, bounding_box, zones: Vec::new() }
    }

    #[test]
    fn a_box_is_drawn_at_its_edges_and_nowhere_inside() {
        let mut canvas = Canvas(RgbImage::new(200, 100));
        draw(&mut canvas, &object(NormalizedBox { x: 0.25, y: 0.5, width: 0.5, height: 0.25 }));
        let color = color_of("car");
        let expected = Rgb([color.r(), color.g(), color.b()]);
        for (x, y) in [(50, 50), (149, 50), (50, 74), (149, 74), (100, 74)] {
            assert_eq!(*canvas.0.get_pixel(x, y), expected, "at {x},{y}");
        }
        assert_eq!(*canvas.0.get_pixel(100, 62), Rgb([0, 0, 0]));
    }

    #[test]
    fn a_box_outside_the_picture_is_no_trouble() {
        let mut canvas = Canvas(RgbImage::new(8, 8));
        draw(&mut canvas, &object(NormalizedBox { x: -1.0, y: -1.0, width: 4.0, height: 0.0 }));
        draw(&mut canvas, &object(NormalizedBox { x: 0.9, y: 0.9, width: 5.0, height: 5.0 }));
    }
}
