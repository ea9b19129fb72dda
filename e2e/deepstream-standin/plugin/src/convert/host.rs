//! Pictures between NVMM and GStreamer's own frames, and from one format to another.

use deepstream_standin::layout::color_format;
use gstreamer as gst;
use gstreamer_video::{self as gst_video, VideoFrameExt};

use crate::picture::{Area, Filter, Format, Picture, View, scale, scale_to_rgb};

/// Our format for GStreamer's.
pub(super) fn format_of(format: gst_video::VideoFormat) -> Option<Format> {
    match format {
        gst_video::VideoFormat::Nv12 => Some(Format::Nv12),
        gst_video::VideoFormat::I420 => Some(Format::I420),
        gst_video::VideoFormat::Rgba => Some(Format::Rgba),
        _ => None,
    }
}

/// A copy of a frame in the processor's memory.
pub(super) fn read(frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Option<Picture> {
    let info = frame.info();
    let format = format_of(info.format())?;
    let color = match format {
        Format::Nv12 => color_format::NV12,
        Format::I420 => color_format::YUV420,
        Format::Rgba => color_format::RGBA,
    };
    let mut picture = Picture::new(format, color, info.width() as usize, info.height() as usize);
    for (index, plane) in picture.planes.iter().enumerate() {
        let stride = *info.stride().get(index)? as usize;
        let source = frame.plane_data(index as u32).ok()?;
        let length = plane.width * plane.bytes_per_pixel;
        for row in 0..plane.height {
            let begin = plane.offset + row * plane.pitch;
            picture.data[begin..begin + length].copy_from_slice(source.get(row * stride..row * stride + length)?);
        }
    }
    Some(picture)
}

/// Copies a picture into a frame of its format and size.
pub(super) fn write(picture: &Picture, frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>) -> Option<()> {
    let strides: Vec<usize> = frame.info().stride().iter().map(|stride| *stride as usize).collect();
    for (index, plane) in picture.planes.iter().enumerate() {
        let target = frame.plane_data_mut(index as u32).ok()?;
        let length = plane.width * plane.bytes_per_pixel;
        let stride = *strides.get(index)?;
        for row in 0..plane.height {
            let begin = plane.offset + row * plane.pitch;
            target.get_mut(row * stride..row * stride + length)?.copy_from_slice(&picture.data[begin..begin + length]);
        }
    }
    Some(())
}

/// A copy of `view` in another format and size.
pub(super) fn convert(view: &View<'_>, format: Format, width: usize, height: usize, filter: Filter) -> Option<Picture> {
    let all = Area { left: 0, top: 0, width, height };
    if view.format == format {
        let mut picture = Picture::new(format, view.color, width, height);
        scale(view, &mut picture, all, filter);
        return Some(picture);
    }
    match (view.format, format) {
        (Format::Nv12 | Format::I420, Format::Rgba) => {
            let mut rgb = vec![0; width * height * 3];
            let source = Area { left: 0, top: 0, width: view.width, height: view.height };
            scale_to_rgb(view, source, &mut rgb, width * 3, all, filter);
            let mut picture = Picture::new(Format::Rgba, color_format::RGBA, width, height);
            let plane = picture.planes[0];
            for (row, pixels) in rgb.chunks_exact(width * 3).enumerate() {
                let target = &mut picture.data[plane.offset + row * plane.pitch..][..width * 4];
                for (to, from) in target.chunks_exact_mut(4).zip(pixels.chunks_exact(3)) {
                    to[..3].copy_from_slice(from);
                    to[3] = 255;
                }
            }
            Some(picture)
        }
        (Format::Nv12, Format::I420) => {
            let mut semi = Picture::new(Format::Nv12, view.color, width, height);
            scale(view, &mut semi, all, filter);
            let mut picture = Picture::new(Format::I420, color_format::YUV420, width, height);
            let (from, to) = (semi.planes.clone(), picture.planes.clone());
            for row in 0..to[0].height {
                picture.data[row * to[0].pitch..][..width].copy_from_slice(&semi.data[row * from[0].pitch..][..width]);
            }
            for row in 0..to[1].height {
                for column in 0..to[1].width {
                    let pair = from[1].offset + row * from[1].pitch + 2 * column;
                    picture.data[to[1].offset + row * to[1].pitch + column] = semi.data[pair];
                    picture.data[to[2].offset + row * to[2].pitch + column] = semi.data[pair + 1];
                }
            }
            Some(picture)
        }
        (Format::I420, Format::Nv12) => {
            let mut planar = Picture::new(Format::I420, view.color, width, height);
            scale(view, &mut planar, all, filter);
            let mut picture = Picture::new(Format::Nv12, color_format::NV12, width, height);
            let (from, to) = (planar.planes.clone(), picture.planes.clone());
            for row in 0..to[0].height {
                picture.data[row * to[0].pitch..][..width]
                    .copy_from_slice(&planar.data[row * from[0].pitch..][..width]);
            }
            for row in 0..to[1].height {
                for column in 0..to[1].width {
                    let pair = to[1].offset + row * to[1].pitch + 2 * column;
                    picture.data[pair] = planar.data[from[1].offset + row * from[1].pitch + column];
                    picture.data[pair + 1] = planar.data[from[2].offset + row * from[2].pitch + column];
                }
            }
            Some(picture)
        }
        (Format::Rgba, _) => {
            let mut colors = Picture::new(Format::Rgba, color_format::RGBA, width, height);
            scale(view, &mut colors, all, filter);
            let semi = from_rgba(&colors);
            if format == Format::Nv12 { Some(semi) } else { convert(&semi.view(), format, width, height, filter) }
        }
        _ => None,
    }
}

/// Luma and chroma (BT.601, limited range) of a picture of RGBA; chroma of every second pixel of every second row.
fn from_rgba(from: &Picture) -> Picture {
    let mut to = Picture::new(Format::Nv12, color_format::NV12, from.width, from.height);
    let (luma, chroma, source) = (to.planes[0], to.planes[1], from.planes[0]);
    for y in 0..from.height {
        for x in 0..from.width {
            let pixel = &from.data[y * source.pitch + 4 * x..][..3];
            let [red, green, blue] = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
            let light = 0.299 * red + 0.587 * green + 0.114 * blue;
            to.data[luma.offset + y * luma.pitch + x] = (16.5 + light * 219.0 / 255.0) as u8;
            if y % 2 == 0 && x % 2 == 0 {
                let pair = chroma.offset + y / 2 * chroma.pitch + x;
                to.data[pair] = (128.5 + (blue - light) / 1.772 * 224.0 / 255.0) as u8;
                to.data[pair + 1] = (128.5 + (red - light) / 1.402 * 224.0 / 255.0) as u8;
            }
        }
    }
    to
}
