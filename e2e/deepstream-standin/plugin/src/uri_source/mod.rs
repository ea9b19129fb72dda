//! `nvurisrcbin`: from a URI to decoded frames in NVMM memory.

mod element;
mod rtsp;

use gstreamer::{self as gst, glib, prelude::*};
use std::sync::LazyLock;

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("nvurisrcbin", gst::DebugColorFlags::empty(), Some("nvurisrcbin")));

/// What a URI names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "NvDsUriSrcType")]
pub(crate) enum SourceType {
    /// A camera where it begins with `rtsp://`, else whatever uridecodebin reads.
    #[default]
    #[enum_value(name = "Select source type based on URI scheme", nick = "source-type-auto")]
    Auto = 0,
    /// Whatever uridecodebin reads.
    #[enum_value(name = "Use uridecodebin as source", nick = "source-type-uri")]
    Uri = 1,
    /// A camera.
    #[enum_value(name = "Use RTSP camera specific bin", nick = "source-type-rtsp")]
    Rtsp = 2,
}

/// How a camera's packets travel, as 8.0 and later number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "NvDsUriRtpProtocol")]
pub(crate) enum Protocol {
    /// Not said.
    #[enum_value(name = "Unknown", nick = "rtp-unknown")]
    Unknown = 0,
    /// UDP.
    #[enum_value(name = "UDP Unicast Mode", nick = "rtp-udp")]
    Udp = 1,
    /// UDP to many.
    #[enum_value(name = "UDP Multicast Mode", nick = "rtp-udp-mcast")]
    Multicast = 2,
    /// In the RTSP connection.
    #[enum_value(name = "TCP", nick = "rtp-tcp")]
    Tcp = 4,
    /// UDP, else multicast, else TCP.
    #[default]
    #[enum_value(name = "UDP Unicast, else multicast, else TCP", nick = "rtp-multi")]
    Any = 7,
    /// Through HTTP.
    #[enum_value(name = "HTTP tunneled", nick = "rtp-http")]
    Http = 0x10,
    /// With TLS.
    #[enum_value(name = "TLS", nick = "rtp-tls")]
    Tls = 0x20,
}

/// The same as versions up to 7.1 number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "NvDsUriRtpProtocolOld")]
pub(crate) enum OldProtocol {
    /// UDP, else multicast, else TCP.
    #[default]
    #[enum_value(name = "UDP + UDP Multicast + TCP", nick = "rtp-multi")]
    Any = 0,
    /// In the RTSP connection.
    #[enum_value(name = "TCP Only", nick = "rtp-tcp")]
    Tcp = 4,
}

/// Where the queue of frames leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "NvDsUriLeaky")]
pub(crate) enum Leaky {
    /// Nowhere.
    #[default]
    #[enum_value(name = "Not Leaky", nick = "no")]
    No = 0,
    /// The newest are dropped.
    #[enum_value(name = "Leaky on upstream (new buffers)", nick = "upstream")]
    Upstream = 1,
    /// The oldest are dropped.
    #[enum_value(name = "Leaky on downstream (old buffers)", nick = "downstream")]
    Downstream = 2,
}

/// Whether it is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "NvDsUriSmartRecordType")]
pub(crate) enum SmartRecord {
    /// No.
    #[default]
    #[enum_value(name = "Disable Smart Record", nick = "smart-rec-disable")]
    Disable = 0,
    /// By messages of the cloud.
    #[enum_value(name = "Trigger Smart Record through cloud messages only", nick = "smart-rec-cloud")]
    Cloud = 1,
    /// By those and local events.
    #[enum_value(
        name = "Trigger Smart Record through cloud messages as well as local events",
        nick = "smart-rec-multi"
    )]
    Multi = 2,
}

glib::wrapper! {
    /// The element.
    pub(crate) struct UriSource(ObjectSubclass<element::UriSource>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvurisrcbin", gst::Rank::PRIMARY, UriSource::static_type())
}
