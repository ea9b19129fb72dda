//! One source in a pipeline: encoded pictures in, pictures in the GPU's memory out.
//!
//! `appsrc → parser → nvv4l2decoder → queue`, or for pictures that are not encoded, or not as video,
//! `appsrc → (decoder) → videoconvert → nvvideoconvert → queue`. Where frames come in real time the queue keeps the
//! newest ones: what a slow pipeline cannot take is dropped after the decoder, never before it, so that no picture is
//! damaged. The end of the stream stops at the queue's end: the mux never hears of it, and so ends for no source.

use std::sync::Arc;

use gstreamer::{self as gst, prelude::*};
use gstreamer_app as gst_app;

use super::{
    PipelineError, SourceListener,
    element::{make, set, set_if_there},
};

/// Pictures between the decoder and the mux.
const LIVE_PICTURES: u32 = 2;
/// The same where every picture counts.
const LOSSLESS_PICTURES: u32 = 4;
/// Encoded bytes that the bin holds at the most; the feeder stops before.
const MAX_BYTES: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct SourceBin {
    pub(super) bin: gst::Bin,
    pub(super) input: gst_app::AppSrc,
    /// In the thread that decodes.
    pub(super) output: gst::Pad,
}

/// The elements from the input to NVMM pictures.
fn chain(caps: &gst::Caps, gpu: u32) -> Result<Vec<gst::Element>, PipelineError> {
    let media_type = caps.structure(0).map(|structure| structure.name().to_string()).unwrap_or_default();
    let decoder = |parser: &str| -> Result<Vec<gst::Element>, PipelineError> {
        let decoder = make("nvv4l2decoder")?;
        set_if_there(&decoder, "gpu-id", &gpu.to_string())?;
        Ok(vec![make(parser)?, decoder])
    };
    let uploaded = |mut elements: Vec<gst::Element>| -> Result<Vec<gst::Element>, PipelineError> {
        let upload = make("nvvideoconvert")?;
        set_if_there(&upload, "gpu-id", &gpu.to_string())?;
        let filter = make("capsfilter")?;
        let wanted = gst::Caps::builder("video/x-raw").features(["memory:NVMM"]).field("format", "NV12").build();
        filter.set_property("caps", wanted);
        elements.extend([make("videoconvert")?, upload, filter]);
        Ok(elements)
    };
    match media_type.as_str() {
        "video/x-h264" => decoder("h264parse"),
        "video/x-h265" => decoder("h265parse"),
        "image/jpeg" => uploaded(vec![make("jpegdec")?]),
        "image/png" => uploaded(vec![make("pngdec")?]),
        "video/x-raw" => uploaded(Vec::new()),
        _ => Err(PipelineError::Format { caps: caps.to_string() }),
    }
}

impl SourceBin {
    pub(super) fn new(
        name: &str,
        caps: &gst::Caps,
        gpu: u32,
        live: bool,
        listener: &Arc<dyn SourceListener>,
    ) -> Result<Self, PipelineError> {
        let bin = gst::Bin::with_name(name);
        let source = make("appsrc")?;
        let input = source
            .clone()
            .downcast::<gst_app::AppSrc>()
            .map_err(|_| PipelineError::Element { name: "appsrc".to_owned() })?;
        input.set_caps(Some(caps));
        input.set_format(gst::Format::Time);
        input.set_max_bytes(MAX_BYTES);
        input.set_is_live(live);
        input.set_property("block", false);
        let queue = make("queue")?;
        set(&queue, "leaky", if live { "downstream" } else { "no" })?;
        let pictures = if live { LIVE_PICTURES } else { LOSSLESS_PICTURES };
        set(&queue, "max-size-buffers", &pictures.to_string())?;
        set(&queue, "max-size-bytes", "0")?;
        set(&queue, "max-size-time", "0")?;

        let mut elements = vec![source];
        elements.extend(chain(caps, gpu)?);
        elements.push(queue.clone());
        let failed = |_| PipelineError::Build;
        bin.add_many(&elements).map_err(failed)?;
        gst::Element::link_many(&elements).map_err(failed)?;
        let pad = |element: &gst::Element, name: &str| element.static_pad(name).ok_or(PipelineError::Build);
        watch_decoded(&pad(&queue, "sink")?, listener);
        let output = output(&pad(&queue, "src")?, listener)?;
        bin.add_pad(&output).map_err(failed)?;
        Ok(Self { bin, input, output: output.upcast() })
    }
}

/// Tells of each decoded picture, and drops those that are not wanted.
fn watch_decoded(pad: &gst::Pad, listener: &Arc<dyn SourceListener>) {
    let listener = Arc::clone(listener);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &info.data else { return gst::PadProbeReturn::Ok };
        let size = || {
            let caps = pad.current_caps()?;
            let structure = caps.structure(0)?;
            let side = |name| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
            side("width").zip(side("height"))
        };
        let wanted = listener.decoded(buffer.pts().map(gst::ClockTime::nseconds), &size);
        // Handled and not dropped: the bindings let go of the buffer, and GStreamer would miss it.
        if wanted { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Handled }
    });
}

/// The bin's pad, which keeps the end of the stream from the mux.
fn output(target: &gst::Pad, listener: &Arc<dyn SourceListener>) -> Result<gst::GhostPad, PipelineError> {
    let listener = Arc::clone(listener);
    let pad = gst::GhostPad::builder_with_target(target).map_err(|_| PipelineError::Build)?;
    Ok(pad
        .name("src")
        .proxy_pad_event_function(move |pad, parent, event| {
            if event.type_() == gst::EventType::Eos {
                listener.drained();
                return true;
            }
            gst::Pad::event_default(pad, parent, event)
        })
        .build())
}
