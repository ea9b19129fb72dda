//! `nvdspreprocess`: makes tensors of frames, or of regions of them, for nvinfer.

mod attach;
mod element;
mod settings;

use gstreamer::{self as gst, glib, prelude::*};

glib::wrapper! {
    /// The element.
    pub(crate) struct Preprocess(ObjectSubclass<element::Preprocess>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvdspreprocess", gst::Rank::PRIMARY, Preprocess::static_type())
}
