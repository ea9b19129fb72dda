//! `nvinfer`: runs a detector on the frames of a batch and attaches what it finds.

mod attach;
mod backend;
mod detections;
mod element;
mod parser;
mod start;
mod tensors;

use std::sync::LazyLock;

use gstreamer::{self as gst, glib, prelude::*};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("nvinfer", gst::DebugColorFlags::empty(), Some("nvinfer")));

/// `NvDsInferNetworkType_Detector`.
const DETECTOR: u32 = 0;

/// `NvDsInferNetworkType_Other`: raw outputs only.
const OTHER: u32 = 100;

/// On what a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvInferProcessModeType")]
pub(crate) enum ProcessMode {
    /// Whole frames.
    #[default]
    #[enum_value(name = "Primary (Full Frame)", nick = "primary")]
    Primary = 1,
    /// Objects that another found.
    #[enum_value(name = "Secondary (Objects)", nick = "secondary")]
    Secondary = 2,
}

glib::wrapper! {
    /// The element.
    pub(crate) struct Infer(ObjectSubclass<element::Infer>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvinfer", gst::Rank::PRIMARY, Infer::static_type())
}
