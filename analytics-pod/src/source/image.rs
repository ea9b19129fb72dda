//! Single pictures.

use std::{
    fs,
    io::{BufReader, Cursor},
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer as gst;
use image::{ImageFormat, ImageReader};
use jiff::Timestamp;

use super::{
    AccessUnit, AccessUnits, Failure, Input, Next, Pacing, Reason, file::readable_path, pacer::Pacer, printable_uri,
};
use crate::{
    observation::Capture,
    telemetry::{StreamTelemetry, VideoFormat},
};

/// A picture that is repeated is shown once a second: it stands for a camera, but nothing in it moves.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether the picture is there to its end: decoders show what there is of a truncated one and say nothing. Looks for the
/// end of the image after the start of its scan (ITU-T T.81, B.1.1.3); thumbnails lie in a segment before that.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, body @ ..] = rest {
        if *marker == START_OF_SCAN {
            return body.windows(2).rev().any(|pair| pair == END_OF_IMAGE);
        }
        rest = match (marker, body) {
            // A fill byte may stand before any marker.
            (0xff, _) => &rest[1..],
            (_, [high, low, ..]) => body.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default(),
            _ => &[],
        };
    }
    false
}

/// Whether the last chunk is there (PNG specification, 11.2.5).
fn is_whole_png(bytes: &[u8]) -> bool {
    bytes.windows(4).rev().any(|kind| kind == b"IEND")
}

/// One picture, as its file has it: a single access unit, or one a second.
pub(super) struct Picture {
    bytes: gst::Buffer,
    caps: gst::Caps,
    repeat: bool,
    pacer: Pacer,
    told: bool,
    shown: u64,
    telemetry: Arc<StreamTelemetry>,
}

impl Picture {
    pub(super) fn open(input: &Input, pacing: Pacing, telemetry: &Arc<StreamTelemetry>) -> Result<Self, Failure> {
        let name = printable_uri(&input.uri);
        let path = readable_path(&input.uri)?;
        let bytes =
            fs::read(&path).map_err(|error| Failure::new(Reason::PipelineFailed, format!("{name}: {error}")))?;
        let corrupt = |what: &dyn std::fmt::Display| Failure::new(Reason::CorruptStream, format!("{name}: {what}"));
        let reader = ImageReader::new(BufReader::new(Cursor::new(&bytes)))
            .with_guessed_format()
            .map_err(|error| corrupt(&error))?;
        let (media_type, codec) = match reader.format() {
            Some(ImageFormat::Jpeg) => ("image/jpeg", "JPEG"),
            Some(ImageFormat::Png) => ("image/png", "PNG"),
            _ => return Err(corrupt(&"the file is neither a JPEG nor a PNG picture, whatever its name says")),
        };
        let is_whole = if codec == "JPEG" { is_whole_jpeg(&bytes) } else { is_whole_png(&bytes) };
        if !is_whole {
            return Err(corrupt(&"the file ends before the picture does; fetch it again"));
        }
        let (width, height) = reader.into_dimensions().map_err(|error| corrupt(&error))?;
        let side = |side: u32| i32::try_from(side).map_err(|_| corrupt(&"the picture is too large"));
        let caps = gst::Caps::builder(media_type)
            .field("width", side(width)?)
            .field("height", side(height)?)
            .field("framerate", gst::Fraction::new(1, 1))
            .build();
        telemetry.set_format(VideoFormat { codec: codec.into(), width, height });
        Ok(Self {
            bytes: gst::Buffer::from_slice(bytes),
            caps,
            repeat: input.repeat,
            pacer: Pacer::new(pacing, INTERVAL, Instant::now()),
            told: false,
            shown: 0,
            telemetry: Arc::clone(telemetry),
        })
    }
}

impl AccessUnits for Picture {
    fn next(&mut self, timeout: Duration) -> Result<Next, Failure> {
        if !std::mem::replace(&mut self.told, true) {
            return Ok(Next::Format(self.caps.clone()));
        }
        if self.shown > 0 && !self.repeat {
            return Ok(Next::Ended);
        }
        let Some(frame) = self.pacer.wait(timeout, &self.telemetry) else { return Ok(Next::Idle) };
        self.shown += 1;
        // The bytes are shared, not copied.
        let mut buffer = self.bytes.clone();
        let header = buffer.make_mut();
        header.set_pts(frame.timestamp);
        header.set_duration(gst::ClockTime::try_from(INTERVAL).ok());
        Ok(Next::Unit(AccessUnit {
            number: self.telemetry.count_received(buffer.size()),
            captured: Capture::arrival(Timestamp::now()),
            key_frame: true,
            disposable: true,
            buffer,
        }))
    }
}
