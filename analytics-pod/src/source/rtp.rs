//! From RTP packets to access units.

use gstreamer::{self as gst, prelude::*};

use super::{Failure, elements};

/// What RTP packets may carry here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    H264,
    H265,
    Jpeg,
}

impl Encoding {
    /// The one with this encoding name (RFC 3551, RFC 6184, RFC 7798).
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::H264, Self::H265, Self::Jpeg].into_iter().find(|encoding| encoding.name().eq_ignore_ascii_case(name))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Jpeg => "JPEG",
        }
    }

    /// What senders use where nothing else was agreed on: the static type of JPEG, else the first dynamic one.
    pub(super) const fn usual_payload_type(self) -> i32 {
        match self {
            Self::Jpeg => 26,
            Self::H264 | Self::H265 => 96,
        }
    }

    /// What turns packets into access units. The depayloader is asked for whole ones, so that the parser need not wait
    /// for the next to see the end of the last; and the parser puts parameter sets before every key frame, so that
    /// decoding can start at each.
    pub(super) fn access_units(self) -> Result<Vec<gst::Element>, Failure> {
        let (depayloader, parser) = match self {
            Self::H264 => (elements::RTPH264DEPAY, Some((elements::H264PARSE, "video/x-h264"))),
            Self::H265 => (elements::RTPH265DEPAY, Some((elements::H265PARSE, "video/x-h265"))),
            Self::Jpeg => (elements::RTPJPEGDEPAY, None),
        };
        let mut chain = vec![depayloader.make()?];
        if let Some((parser, media_type)) = parser {
            let filter = elements::CAPSFILTER.make()?;
            let caps =
                gst::Caps::builder(media_type).field("stream-format", "byte-stream").field("alignment", "au").build();
            filter.set_property("caps", caps);
            let parser = parser.make()?;
            parser.set_property("config-interval", -1);
            chain.extend([filter, parser]);
        }
        Ok(chain)
    }
}
