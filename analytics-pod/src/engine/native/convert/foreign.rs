//! Formats that [`PixelFormat`](super::PixelFormat) does not have — 10 bits a sample, palettes — converted to I420 by
//! GStreamer's library first.

use gstreamer as gst;
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrame, VideoFrameRef, VideoInfo, prelude::*,
    video_frame::Readable,
};

/// A picture's format has no way to I420.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pictures in format {0:?} cannot be converted to I420")]
pub(crate) struct ForeignError(VideoFormat);

/// Converts pictures of one format at a time.
#[derive(Debug, Default)]
pub(crate) struct ForeignConverter {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
}

impl ForeignConverter {
    /// The picture as I420 of the same size, matrix and range (BT.601 where it had none).
    pub(crate) fn convert(
        &mut self,
        frame: &VideoFrameRef<&gst::BufferRef>,
    ) -> Result<VideoFrame<Readable>, ForeignError> {
        let failed = || ForeignError(frame.format());
        if self.current.as_ref().is_none_or(|current| current.from != *frame.info()) {
            self.current = Some(Current::new(frame.info()).ok_or_else(failed)?);
        }
        let Current { to, converter, .. } = self.current.as_ref().ok_or_else(failed)?;
        let buffer = gst::Buffer::with_size(to.size()).map_err(|_| failed())?;
        let mut picture = VideoFrame::from_buffer_writable(buffer, to).map_err(|_| failed())?;
        converter.frame_ref(frame, &mut picture.as_mut_video_frame_ref());
        VideoFrame::from_buffer_readable(picture.into_buffer(), to).map_err(|_| failed())
    }
}

impl Current {
    fn new(from: &VideoInfo) -> Option<Self> {
        let colorimetry = from.colorimetry();
        let mut to = VideoInfo::builder(VideoFormat::I420, from.width(), from.height()).fps(from.fps());
        if from.format_info().is_yuv() {
            to = to.colorimetry(&colorimetry);
        }
        let to = to.build().ok()?;
        let mut config = VideoConverterConfig::new();
        config.set_threads(1);
        let converter = VideoConverter::new(from, &to, Some(config)).ok()?;
        Some(Self { from: from.clone(), to, converter })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::native::convert::Picture;

    #[test]
    fn ten_bits_a_sample_become_eight() {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::I42010le, 16, 8).build().unwrap();
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        {
            let mut map = buffer.get_mut().unwrap().map_writable().unwrap();
            for sample in map.chunks_exact_mut(2) {
                sample.copy_from_slice(&(400_u16).to_le_bytes());
            }
        }
        let frame = VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
        let mut foreign = ForeignConverter::default();
        for _ in 0..2 {
            let converted = foreign.convert(&frame).unwrap();
            let view = converted.as_video_frame_ref();
            let picture = Picture::from_frame(&view).unwrap();
            assert!(picture.row(0, 7).iter().all(|&sample| sample.abs_diff(100) <= 1), "{:?}", picture.row(0, 7));
        }
    }
}
