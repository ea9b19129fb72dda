//! `nvtracker`: gives objects an identity over time.

mod element;
mod tracks;

use std::sync::LazyLock;

use gstreamer::{self as gst, glib, prelude::*};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("nvtracker", gst::DebugColorFlags::empty(), Some("nvtracker")));

glib::wrapper! {
    /// The element.
    pub(crate) struct Tracker(ObjectSubclass<element::Tracker>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvtracker", gst::Rank::PRIMARY, Tracker::static_type())
}
