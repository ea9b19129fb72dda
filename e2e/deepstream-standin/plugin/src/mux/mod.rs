//! `nvstreammux`, the legacy one: forms batches of frames from many sources.

mod batch;
mod element;
mod sinks;
mod state;

use std::sync::LazyLock;

use gstreamer::{self as gst, glib, prelude::*};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("nvstreammux", gst::DebugColorFlags::empty(), Some("nvstreammux")));

/// Makes every n-th release of a pad hang although it was done in order, as users have seen it happen. For tests of
/// whoever must survive that.
pub(crate) const RELEASE_VARIABLE: &str = "VISION_STANDIN_RELEASE_DEADLOCK_EVERY";

/// How frames are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvInterpolationMethod")]
pub(crate) enum Interpolation {
    /// The nearest pixel.
    #[enum_value(name = "Nearest", nick = "Nearest")]
    Nearest = 0,
    /// Between four pixels.
    #[default]
    #[enum_value(name = "Bilinear", nick = "Bilinear")]
    Bilinear = 1,
    /// GPU: cubic.
    #[enum_value(name = "GPU - Cubic, VIC - 5 Tap", nick = "Algo-1")]
    Cubic = 2,
    /// GPU: super.
    #[enum_value(name = "GPU - Super, VIC - 10 Tap", nick = "Algo-2")]
    Super = 3,
    /// GPU: Lanczos.
    #[enum_value(name = "GPU - LanzoS, VIC - Smart", nick = "Algo-3")]
    Lanczos = 4,
    /// GPU: ignored.
    #[enum_value(name = "GPU - Ignored, VIC - Nicest", nick = "Algo-4")]
    Nicest = 5,
    /// GPU: nearest.
    #[enum_value(name = "GPU - Nearest, VIC - Nearest", nick = "Default")]
    Default = 6,
}

/// Where frames lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvBufMemoryType")]
pub(crate) enum BufferMemory {
    /// What the platform usually has.
    #[default]
    #[enum_value(name = "Default memory allocated, specific to particular platform", nick = "nvbuf-mem-default")]
    Default = 0,
    /// Pinned memory of the host.
    #[enum_value(name = "Allocate Pinned/Host cuda memory", nick = "nvbuf-mem-cuda-pinned")]
    Pinned = 1,
    /// The GPU's memory.
    #[enum_value(name = "Allocate Device cuda memory", nick = "nvbuf-mem-cuda-device")]
    Device = 2,
    /// Memory that both reach.
    #[enum_value(name = "Allocate Unified cuda memory", nick = "nvbuf-mem-cuda-unified")]
    Unified = 3,
    /// Jetson's.
    #[enum_value(name = "Allocate Surface Array memory, applicable for Jetson", nick = "nvbuf-mem-surface-array")]
    SurfaceArray = 4,
}

/// What scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvComputeHWType")]
pub(crate) enum ComputeHardware {
    /// The GPU, on Jetson its video image compositor.
    #[default]
    #[enum_value(name = "Default, GPU for Tesla, VIC for Jetson", nick = "Default")]
    Default = 0,
    /// The GPU.
    #[enum_value(name = "GPU", nick = "GPU")]
    Gpu = 1,
    /// Jetson's compositor.
    #[enum_value(name = "VIC", nick = "VIC")]
    Vic = 2,
}

glib::wrapper! {
    /// The element.
    pub(crate) struct StreamMux(ObjectSubclass<element::StreamMux>) @extends gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvstreammux", gst::Rank::PRIMARY, StreamMux::static_type())
}
