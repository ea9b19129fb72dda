//! Test pictures: `test://smpte?width=640&height=480&fps=30&frames=300`.

use std::sync::Arc;

use gstreamer::{self as gst, prelude::*};

use super::{
    Failure, Input, Pacing, elements,
    parameters::Parameters,
    pipelines::builder_failure,
    playback::Shared,
    reader::{Plan, Recipe},
};

/// Patterns of videotestsrc that are known by the name after `test://`, in GStreamer 1.14 and later.
const PATTERNS: [&str; 16] = [
    "smpte",
    "snow",
    "black",
    "white",
    "red",
    "green",
    "blue",
    "checkers-8",
    "circular",
    "zone-plate",
    "gamut",
    "chroma-zone-plate",
    "solid-color",
    "ball",
    "smpte75",
    "bar",
];

/// Shows a pattern: without end, or `frames` pictures of it.
pub(super) struct TestPattern {
    pattern: &'static str,
    caps: gst::Caps,
    frames: Option<i32>,
    live: bool,
}

impl TestPattern {
    pub(super) fn new(input: &Input, pacing: Pacing) -> Result<Self, Failure> {
        let parameters = Parameters::new(&input.uri, &["width", "height", "fps", "frames"])?;
        let name = input.uri.host_str().unwrap_or_default();
        let pattern = PATTERNS
            .into_iter()
            .find(|pattern| *pattern == name)
            .ok_or_else(|| parameters.refuse(&format!("is no test pattern; there are {}", PATTERNS.join(", "))))?;
        let side = |name, default| parameters.pixels(name, default).map(|pixels| pixels as i32);
        let fps = parameters.number("fps", &(1..=240))?.unwrap_or(30);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", side("width", 640)?)
            .field("height", side("height", 480)?)
            .field("framerate", gst::Fraction::new(fps, 1))
            .field("colorimetry", "bt709")
            .build();
        let frames = parameters.number("frames", &(1..=i32::MAX))?;
        Ok(Self { pattern, caps, frames, live: pacing == Pacing::Live })
    }
}

impl Recipe for TestPattern {
    fn pipeline(&mut self, sink: &gst::Element, _: &Arc<Shared>) -> Result<Plan, Failure> {
        let source = elements::VIDEOTESTSRC.make()?;
        source.set_property_from_str("pattern", self.pattern);
        source.set_property("is-live", self.live);
        source.set_property("num-buffers", self.frames.unwrap_or(-1));
        let filter = elements::CAPSFILTER.make()?;
        filter.set_property("caps", &self.caps);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&source, &filter, sink]).map_err(builder_failure)?;
        gst::Element::link_many([&source, &filter, sink]).map_err(builder_failure)?;
        Ok(Plan { pipeline, arrivals: None })
    }
}
