//! Which GStreamer elements an input needs, and which Debian package brings each. Every element is looked up, and its
//! properties too, before a pipeline is built from it.

use gstreamer::{self as gst, prelude::*};

use super::{Failure, Input, Reason, origin::extension};

/// A GStreamer element that the pod uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The element's name.
    pub name: &'static str,
    /// The Debian (and Ubuntu) package that brings it.
    pub package: &'static str,
    /// Properties that the pod sets.
    pub properties: &'static [&'static str],
}

const CORE: &str = "libgstreamer1.0-0";
const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

const fn element(name: &'static str, package: &'static str, properties: &'static [&'static str]) -> Element {
    Element { name, package, properties }
}

pub(super) const APPSINK: Element =
    element("appsink", BASE, &["sync", "async", "qos", "enable-last-sample", "max-buffers", "drop", "caps"]);
pub(super) const CAPSFILTER: Element = element("capsfilter", CORE, &["caps"]);
pub(super) const FILESRC: Element = element("filesrc", CORE, &["location"]);
pub(super) const H264PARSE: Element = element("h264parse", BAD, &["config-interval"]);
pub(super) const H265PARSE: Element = element("h265parse", BAD, &["config-interval"]);
pub(super) const IDENTITY: Element = element("identity", CORE, &["sync"]);
pub(super) const PARSEBIN: Element = element("parsebin", BASE, &[]);
pub(super) const RTPH264DEPAY: Element = element("rtph264depay", GOOD, &[]);
pub(super) const RTPH265DEPAY: Element = element("rtph265depay", GOOD, &[]);
pub(super) const RTPJPEGDEPAY: Element = element("rtpjpegdepay", GOOD, &[]);
pub(super) const RTSPSRC: Element = element(
    "rtspsrc",
    GOOD,
    &[
        "location",
        "protocols",
        "latency",
        "drop-on-latency",
        "tcp-timeout",
        "timeout",
        "user-id",
        "user-pw",
        "tls-validation-flags",
    ],
);
pub(super) const SOUPHTTPSRC: Element = element(
    "souphttpsrc",
    GOOD,
    &["location", "timeout", "retries", "user-id", "user-pw", "automatic-redirect", "ssl-strict"],
);
pub(super) const VIDEOTESTSRC: Element = element("videotestsrc", BASE, &["pattern", "is-live", "num-buffers"]);

const AVIDEMUX: Element = element("avidemux", GOOD, &[]);
const FLVDEMUX: Element = element("flvdemux", GOOD, &[]);
const HLSDEMUX: Element = element("hlsdemux", BAD, &[]);
const JPEGPARSE: Element = element("jpegparse", BAD, &[]);
const MATROSKADEMUX: Element = element("matroskademux", GOOD, &[]);
const MULTIPARTDEMUX: Element = element("multipartdemux", GOOD, &[]);
const QTDEMUX: Element = element("qtdemux", GOOD, &[]);
pub(super) const RTPBIN: Element = element("rtpbin", GOOD, &[]);
const TSDEMUX: Element = element("tsdemux", BAD, &[]);
pub(super) const UDPSRC: Element =
    element("udpsrc", GOOD, &["address", "port", "reuse", "buffer-size", "timeout", "multicast-iface", "caps"]);
pub(super) const RTPJITTERBUFFER: Element = element("rtpjitterbuffer", GOOD, &["latency", "drop-on-latency"]);
pub(super) const SRTSRC: Element =
    element("srtsrc", BAD, &["uri", "mode", "latency", "streamid", "passphrase", "pbkeylen"]);
pub(super) const V4L2SRC: Element = element("v4l2src", GOOD, &["device"]);

/// From the packets of a video stream to its access units.
const RTP_VIDEO: [Element; 7] = [RTPH264DEPAY, RTPH265DEPAY, RTPJPEGDEPAY, H264PARSE, H265PARSE, CAPSFILTER, APPSINK];

impl Element {
    /// Whether it is installed, with every property.
    ///
    /// # Errors
    /// [`Reason::MissingElement`] with the package to install or to update.
    pub fn check(&self) -> Result<(), Failure> {
        self.make().map(drop)
    }

    /// One more of it.
    pub(super) fn make(&self) -> Result<gst::Element, Failure> {
        let Self { name, package, properties } = *self;
        gst::init().map_err(|error| {
            Failure::new(
                Reason::MissingElement,
                format!("GStreamer cannot be used: {}; install the package {CORE}", error.message()),
            )
        })?;
        let made = gst::ElementFactory::make(name).build().map_err(|_| {
            Failure::new(
                Reason::MissingElement,
                format!("the GStreamer element {name} is not installed; install the package {package}"),
            )
        })?;
        match properties.iter().find(|property| !made.has_property(property)) {
            None => Ok(made),
            Some(property) => Err(Failure::new(
                Reason::MissingElement,
                format!(
                    "the installed GStreamer element {name} has no property {property}; update the package {package}"
                ),
            )),
        }
    }
}

/// Every element that reading `input` needs as far as its URI tells. A file or HTTP stream of another kind than its
/// name says may need more; opening it names what is missing then.
#[must_use]
pub fn needed(input: &Input) -> Vec<Element> {
    let by_name: &[Element] = match extension(&input.uri).as_str() {
        "mp4" | "m4v" | "mov" => &[QTDEMUX, H264PARSE, H265PARSE],
        "mkv" | "webm" => &[MATROSKADEMUX, H264PARSE, H265PARSE],
        "ts" | "m2ts" | "mts" => &[TSDEMUX, H264PARSE, H265PARSE],
        "m3u8" => &[HLSDEMUX, TSDEMUX, H264PARSE, H265PARSE],
        "avi" => &[AVIDEMUX, H264PARSE, JPEGPARSE],
        "flv" => &[FLVDEMUX, H264PARSE],
        "h264" | "264" => &[H264PARSE],
        "h265" | "265" | "hevc" => &[H265PARSE],
        "mjpg" | "mjpeg" => &[MULTIPARTDEMUX, JPEGPARSE],
        _ => &[],
    };
    let by_scheme: &[Element] = match input.uri.scheme() {
        "rtsp" | "rtsps" => return [&[RTSPSRC, RTPBIN, UDPSRC][..], &RTP_VIDEO].concat(),
        "file" if super::origin::is_image(&input.uri) => return Vec::new(),
        "file" => &[FILESRC, PARSEBIN, IDENTITY, APPSINK],
        "http" | "https" => &[SOUPHTTPSRC, PARSEBIN, IDENTITY, APPSINK],
        "udp" => return vec![UDPSRC, PARSEBIN, TSDEMUX, H264PARSE, H265PARSE, IDENTITY, APPSINK],
        "srt" => return vec![SRTSRC, PARSEBIN, TSDEMUX, H264PARSE, H265PARSE, IDENTITY, APPSINK],
        "rtp" => return [&[UDPSRC, RTPJITTERBUFFER][..], &RTP_VIDEO].concat(),
        "v4l2" => return vec![V4L2SRC, CAPSFILTER, APPSINK],
        "test" => return vec![VIDEOTESTSRC, CAPSFILTER, APPSINK],
        _ => return Vec::new(),
    };
    [by_scheme, by_name].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::source::Transport;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let missing = element("nosuchelement", GOOD, &[]).check().unwrap_err();
        assert_eq!(missing.reason, Reason::MissingElement);
        assert!(missing.message.contains("nosuchelement") && missing.message.contains(GOOD), "{missing}");
        let old = element("identity", CORE, &["sync", "no-such-property"]).check().unwrap_err();
        assert!(old.message.contains("no-such-property") && old.message.contains(CORE), "{old}");
    }

    #[test]
    fn every_input_names_what_it_needs_and_here_it_is_there() {
        for (uri, some) in [
            ("rtsp://camera/", "rtph265depay"),
            ("file:///a.mp4", "qtdemux"),
            ("file:///a.MKV", "matroskademux"),
            ("https://host/live.m3u8?token=1", "hlsdemux"),
            ("http://host/camera.mjpg", "multipartdemux"),
            ("test://smpte", "videotestsrc"),
            ("udp://0.0.0.0:5004", "tsdemux"),
            ("rtp://0.0.0.0:5004?encoding=H264", "rtpjitterbuffer"),
            ("srt://host:9000", "srtsrc"),
            ("v4l2:///dev/video0", "v4l2src"),
        ] {
            let uri = url::Url::parse(uri).unwrap();
            let needed = needed(&Input {
                uri,
                credentials: None,
                transport: Transport::default(),
                capture: None,
                repeat: false,
            });
            assert!(needed.iter().any(|element| element.name == some), "{needed:?}");
            for element in needed {
                assert_eq!(element.check(), Ok(()));
            }
        }
        for uri in ["sim://street", "file:///a.jpg"] {
            let uri = url::Url::parse(uri).unwrap();
            let input = Input { uri, credentials: None, transport: Transport::default(), capture: None, repeat: false };
            assert_eq!(needed(&input), []);
        }
    }
}
