//! Video files as cameras: demuxed and parsed ahead, not encoded again.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use gstreamer::{self as gst, prelude::*};

use crate::{
    clip::{Clip, Encoded, Format, FrameRate},
    config::Codec,
    elements::{self, ElementError},
    encode::{self, EncodeError},
};

/// The largest file that is taken into memory.
const MAX_BYTES: u64 = 2 << 30;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It would not fit into memory.
    #[error("{} has {bytes} bytes; at most {MAX_BYTES} are taken into memory", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It holds no video that can be served as it is.
    #[error("{} holds no H.264 or H.265 video with a key frame", path.display())]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be demuxed or parsed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: EncodeError,
    },
}

/// Reads the first video track of a file.
pub(crate) fn read(path: &Path) -> Result<Clip, FileError> {
    let open = |source| FileError::Open { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(open)?.len();
    std::fs::File::open(path).map_err(open)?;
    if bytes > MAX_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes });
    }
    let (clip, tracks) = parse(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    tracing::debug!(path = %path.display(), tracks, "file read");
    clip.ok_or_else(|| FileError::NoVideo { path: path.to_owned() })
}

/// The clip, unless there is no usable video, and the number of tracks in the file.
fn parse(path: &Path) -> Result<(Option<Clip>, usize), EncodeError> {
    let source = elements::make("filesrc", &[])?;
    source.set_property("location", path);
    let demuxer = elements::make("parsebin", &[])?;
    let sink = elements::make("appsink", &[("sync", "false".into())])?;
    elements::require("h264parse")?;
    elements::require("h265parse")?;
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &demuxer, &sink]).map_err(ElementError::from)?;
    source.link(&demuxer).map_err(ElementError::from)?;

    let video = Arc::new(Mutex::new(None));
    let found = Arc::clone(&video);
    let weak = pipeline.downgrade();
    let target = sink.clone();
    demuxer.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        if found.is_none()
            && let Some(codec) = codec(&caps)
            && link(codec, &pipeline, pad, &target).is_ok()
        {
            *found = Some(codec);
        }
    });
    let no_more = Arc::clone(&video);
    let weak = sink.downgrade();
    demuxer.connect_no_more_pads(move |_| {
        // Without video nothing would ever reach the sink, so its end is told to it.
        if no_more.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            && let Some(pad) = weak.upgrade().and_then(|sink| sink.static_pad("sink"))
        {
            pad.send_event(gst::event::StreamStart::new("none"));
            pad.send_event(gst::event::Eos::new());
        }
    });
    let (mut encoded, caps) = encode::collect(&pipeline, &sink, || ())?;
    let tracks = usize::from(demuxer.num_src_pads());
    let codec = *video.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(codec), Some(caps)) = (codec, caps) else { return Ok((None, tracks)) };
    if encoded.iter().all(|unit| unit.presentation == 0) {
        for (unit, order) in encoded.iter_mut().zip(0..) {
            unit.presentation = order;
        }
    }
    let format = format(codec, &caps, &encoded);
    Ok((format.and_then(|format| Clip::assemble(format, &encoded)), tracks))
}

fn codec(caps: &gst::CapsRef) -> Option<Codec> {
    match caps.structure(0)?.name().as_str() {
        "video/x-h264" => Some(Codec::H264),
        "video/x-h265" => Some(Codec::H265),
        _ => None,
    }
}

fn format(codec: Codec, caps: &gst::CapsRef, encoded: &[Encoded]) -> Option<Format> {
    let structure = caps.structure(0)?;
    let size = |field| structure.get::<i32>(field).ok().and_then(|size| u32::try_from(size).ok());
    let named = structure.get::<gst::Fraction>("framerate").ok().and_then(|rate| {
        let numerator = u32::try_from(rate.numer()).ok().filter(|numerator| *numerator > 0)?;
        Some(FrameRate { numerator, denominator: u32::try_from(rate.denom()).ok().filter(|denom| *denom > 0)? })
    });
    let rate = named.unwrap_or_else(|| average_rate(encoded));
    Some(Format { codec, width: size("width")?, height: size("height")?, rate })
}

/// Parameter sets go before every key frame, because the container keeps them apart.
fn link(codec: Codec, pipeline: &gst::Pipeline, pad: &gst::Pad, sink: &gst::Element) -> Result<(), ElementError> {
    let parser = match codec {
        Codec::H264 => "h264parse",
        Codec::H265 => "h265parse",
    };
    let parser = elements::make(parser, &[("config-interval", "-1".into())])?;
    let filter = elements::make("capsfilter", &[])?;
    filter.set_property("caps", encode::byte_stream_caps(codec));
    pipeline.add_many([&parser, &filter])?;
    gst::Element::link_many([&parser, &filter, sink])?;
    for element in [&filter, &parser] {
        element.sync_state_with_parent()?;
    }
    if let Some(input) = parser.static_pad("sink") {
        pad.link(&input).map_err(|error| gst::glib::bool_error!("cannot link the video track: {error}"))?;
    }
    Ok(())
}

/// Frames over the time from the first to the last; 25 a second if the file tells no times.
fn average_rate(encoded: &[Encoded]) -> FrameRate {
    let times = || encoded.iter().map(|unit| unit.presentation);
    let span = times().max().unwrap_or(0) - times().min().unwrap_or(0);
    match u32::try_from(encoded.len().saturating_sub(1)) {
        Ok(frames) if frames > 0 && span > 0 => {
            FrameRate { numerator: frames * 1000, denominator: (span / 1_000_000).clamp(1, u64::from(u32::MAX)) as u32 }
        }
        _ => FrameRate { numerator: 25, denominator: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_by_the_times_where_the_file_names_none() {
        let unit = |millis: u64| Encoded { bytes: vec![], presentation: millis * 1_000_000, key: true };
        let rate = average_rate(&[unit(0), unit(100), unit(200)]);
        assert!((rate.per_second() - 10.0).abs() < 1e-9, "{rate:?}");
        assert_eq!(average_rate(&[unit(0)]), FrameRate { numerator: 25, denominator: 1 });
    }
}
