//! Putting elements together.

use gstreamer::{self as gst, glib, prelude::*};

use super::{Failure, Reason};

/// Elements that were looked up refuse to be put together: a foreign or broken GStreamer installation.
pub(super) fn builder_failure(error: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::PipelineFailed, format!("cannot build the pipeline: {error}"))
}

/// Adds `chain` to a playing `pipeline` and links it between `pad` and `sink`.
pub(super) fn add_linked(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    chain: &[gst::Element],
    sink: &gst::Element,
) -> Result<(), Failure> {
    pipeline.add_many(chain).map_err(builder_failure)?;
    let elements: Vec<&gst::Element> = chain.iter().chain([sink]).collect();
    gst::Element::link_many(elements.iter().copied()).map_err(builder_failure)?;
    // From the end on, so that nothing flows into an element that is not ready.
    for element in chain.iter().rev() {
        element.sync_state_with_parent().map_err(builder_failure)?;
    }
    let first = elements.first().and_then(|element| element.static_pad("sink"));
    let first = first.ok_or_else(|| builder_failure(glib::bool_error!("an element without a sink pad")))?;
    pad.link(&first).map(drop).map_err(builder_failure)
}
