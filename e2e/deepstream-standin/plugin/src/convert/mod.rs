//! `nvvideoconvert`: between NVMM and the processor's memory, formats and sizes.

mod element;
mod host;

use gstreamer::{self as gst, glib, prelude::*};

glib::wrapper! {
    /// The element.
    pub(crate) struct Convert(ObjectSubclass<element::Convert>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvvideoconvert", gst::Rank::PRIMARY, Convert::static_type())
}
