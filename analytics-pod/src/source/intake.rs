//! From GStreamer samples to numbered access units.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Instant;

use gstreamer as gst;
use jiff::Timestamp;

use super::{
    AccessUnit,
    arrivals::Arrivals,
    nal::{HeaderReader, Headers, Standard},
    queue,
};
use crate::{
    observation::Capture,
    telemetry::{DropReason, StreamTelemetry, VideoFormat},
};

/// After this many access units without a key frame, one whose first slice is intra-coded will do: some encoders send
/// plain I pictures only. Ten seconds of video at 30 frames per second.
const PATIENCE: u64 = 300;
/// After this many the stream is given up: a minute of video at 30 frames per second.
const DESPAIR: u64 = 1800;

impl queue::Unit for AccessUnit {
    fn is_key_frame(&self) -> bool {
        self.key_frame
    }

    fn timestamp(&self) -> Option<gst::ClockTime> {
        self.buffer.dts_or_pts()
    }

    fn size(&self) -> usize {
        self.buffer.size()
    }
}

/// What a round of an input has delivered so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    arrived: AtomicU64,
    units: AtomicU64,
    end_ns: AtomicU64,
}

impl Progress {
    /// Access units, those included that came before the first key frame.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Relaxed)
    }

    /// Access units that a decoder can use.
    pub(super) fn units(&self) -> u64 {
        self.units.load(Relaxed)
    }

    /// Where the last access unit ends.
    pub(super) fn end(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(self.end_ns.load(Relaxed))
    }
}

/// How to read an access unit's headers.
enum Coding {
    /// From its bytes.
    Nal(HeaderReader),
    /// Each picture stands alone.
    Intra,
    /// From the flags that the demuxer or parser set.
    Flags,
}

/// Turns the samples of one round of an input into access units.
pub(super) struct Intake {
    telemetry: Arc<StreamTelemetry>,
    arrivals: Option<Arrivals>,
    progress: Arc<Progress>,
    /// Added to every timestamp, so that they go on where the last round ended.
    offset: gst::ClockTime,
    opened: Instant,
    caps: Option<gst::Caps>,
    coding: Coding,
    last_timestamp: Option<gst::ClockTime>,
    /// Access units dropped while waiting for the first key frame; `None` once it has come.
    awaiting_key_frame: Option<u64>,
    /// The stream has no key frames: intra-coded pictures are taken for them.
    intra_is_key: bool,
}

impl Intake {
    /// For a round whose timestamps begin at `offset`; `arrivals` know when packets came.
    pub(super) fn new(
        telemetry: Arc<StreamTelemetry>,
        arrivals: Option<Arrivals>,
        progress: Arc<Progress>,
        offset: gst::ClockTime,
    ) -> Self {
        Self {
            telemetry,
            arrivals,
            progress,
            offset,
            opened: Instant::now(),
            caps: None,
            coding: Coding::Flags,
            last_timestamp: None,
            awaiting_key_frame: Some(0),
            intra_is_key: false,
        }
    }

    /// The format, if it changed, and the access unit, if a decoder can use it.
    pub(super) fn take(&mut self, sample: gst::Sample) -> (Option<gst::Caps>, Option<AccessUnit>) {
        let format = self.new_format(&sample);
        let Some(mut buffer) = sample.buffer_owned() else { return (format, None) };
        // Now `buffer` is the only reference, and its timestamps can be set without copying it.
        drop(sample);
        self.progress.arrived.fetch_add(1, Relaxed);
        let number = self.telemetry.count_received(buffer.size());
        let captured = self.captured(&buffer);
        let Headers { key_frame, intra, disposable } = self.headers(&buffer);
        let key_frame = self.is_key_frame(key_frame, intra);
        if self.awaiting_key_frame.is_some() {
            self.telemetry.count_dropped(DropReason::AwaitingKeyFrame, 1);
            return (format, None);
        }
        self.set_timestamps(&mut buffer);
        self.progress.units.fetch_add(1, Relaxed);
        (format, Some(AccessUnit { buffer, number, captured, key_frame, disposable }))
    }

    fn new_format(&mut self, sample: &gst::Sample) -> Option<gst::Caps> {
        let caps = sample.caps()?;
        if self.caps.as_ref().is_some_and(|last| last.as_ptr() == caps.as_ptr() || **last == *caps) {
            return None;
        }
        let caps = caps.to_owned();
        if let Some(structure) = caps.structure(0) {
            self.coding = coding(structure);
            let size = |name| structure.get::<i32>(name).ok().and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
            let codec = codec_name(structure.name()).into();
            self.telemetry.set_format(VideoFormat { codec, width: size("width"), height: size("height") });
        }
        self.caps = Some(caps.clone());
        Some(caps)
    }

    fn captured(&self, buffer: &gst::BufferRef) -> Capture {
        let arrival = || Capture::arrival(Timestamp::now());
        self.arrivals.as_ref().zip(buffer.pts()).and_then(|(arrivals, pts)| arrivals.take(pts)).unwrap_or_else(arrival)
    }

    fn headers(&mut self, buffer: &gst::BufferRef) -> Headers {
        match &mut self.coding {
            Coding::Nal(reader) => buffer.map_readable().map(|bytes| reader.read(&bytes)).unwrap_or_default(),
            Coding::Intra => Headers { key_frame: true, intra: true, disposable: true },
            Coding::Flags => Headers {
                key_frame: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                intra: false,
                disposable: buffer.flags().contains(gst::BufferFlags::DROPPABLE),
            },
        }
    }

    /// Whether decoding can start here, and with that, whether it has started.
    fn is_key_frame(&mut self, key_frame: bool, intra: bool) -> bool {
        if let Some(waited) = &mut self.awaiting_key_frame {
            self.intra_is_key = *waited >= PATIENCE;
            *waited += 1;
        }
        let key_frame = key_frame || self.intra_is_key && intra;
        if key_frame {
            self.awaiting_key_frame = None;
        }
        key_frame
    }

    /// Whether so many access units came without a key frame that none is to be expected.
    pub(super) fn is_hopeless(&self) -> bool {
        self.awaiting_key_frame.is_some_and(|waited| waited >= DESPAIR)
    }

    /// Shifts the timestamps by the offset. A unit without any gets the time since the input was opened.
    fn set_timestamps(&mut self, buffer: &mut gst::Buffer) {
        let opened = || gst::ClockTime::try_from(self.opened.elapsed()).unwrap_or_default();
        let pts = buffer.pts().or(buffer.dts()).unwrap_or_else(opened) + self.offset;
        if buffer.pts() != Some(pts) {
            let dts = buffer.dts().map(|dts| dts + self.offset);
            let buffer = buffer.make_mut();
            buffer.set_pts(pts);
            buffer.set_dts(dts);
        }
        let duration = buffer.duration().or_else(|| pts.checked_sub(self.last_timestamp?)).unwrap_or_default();
        self.last_timestamp = Some(pts);
        self.progress.end_ns.fetch_max((pts + duration).nseconds(), Relaxed);
    }
}

fn coding(structure: &gst::StructureRef) -> Coding {
    let nal = |standard| {
        let length_prefixed = structure.get::<&str>("stream-format").is_ok_and(|format| format != "byte-stream");
        let codec_data = structure.get::<gst::Buffer>("codec_data").ok();
        let codec_data = codec_data.as_ref().and_then(|data| data.map_readable().ok());
        Coding::Nal(HeaderReader::new(standard, length_prefixed, codec_data.as_deref().unwrap_or_default()))
    };
    match structure.name().as_str() {
        "video/x-h264" => nal(Standard::H264),
        "video/x-h265" => nal(Standard::H265),
        "video/x-raw" | "image/jpeg" | "image/png" => Coding::Intra,
        _ => Coding::Flags,
    }
}

/// The usual name of a media type; the type itself where it has none here.
fn codec_name(media_type: &str) -> &str {
    match media_type {
        "video/x-h264" => "H.264",
        "video/x-h265" => "H.265",
        "video/x-raw" => "raw",
        "video/x-av1" => "AV1",
        "video/x-vp8" => "VP8",
        "video/x-vp9" => "VP9",
        "image/jpeg" => "JPEG",
        "image/png" => "PNG",
        other => other,
    }
}
