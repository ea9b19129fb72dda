//! Whatever GStreamer can take apart: files, and streams over HTTP.

use std::sync::Arc;

use gstreamer::{self as gst, prelude::*};

use super::{
    Failure, Pacing, Reason, elements,
    pipelines::{add_linked, builder_failure},
    playback::Shared,
    reader::Plan,
};

/// Whether the bytes come as fast as they are taken, so that a clock must pace them; asked once they have begun to come.
pub(super) type ComesAtOnce = dyn Fn(&gst::Element) -> bool + Send + Sync;

/// A pipeline that takes `source` apart and brings its first video stream to `sink`, parsed into access units.
pub(super) fn pipeline(
    source: gst::Element,
    sink: &gst::Element,
    shared: &Arc<Shared>,
    pacing: Pacing,
    comes_at_once: Box<ComesAtOnce>,
) -> Result<Plan, Failure> {
    let parsebin = elements::PARSEBIN.make()?;
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &parsebin, sink]).map_err(builder_failure)?;
    source.link(&parsebin).map_err(builder_failure)?;

    let weak_pipeline = pipeline.downgrade();
    let weak_sink = sink.downgrade();
    let failures = Arc::clone(shared);
    parsebin.connect_pad_added(move |_, pad| {
        let (Some(pipeline), Some(sink)) = (weak_pipeline.upgrade(), weak_sink.upgrade()) else { return };
        if !is_video(pad) || is_linked(&sink) {
            return;
        }
        let at_once = comes_at_once(&source);
        if !at_once {
            failures.set_endless();
        }
        let linked = access_units(pad, at_once && pacing == Pacing::Live)
            .and_then(|chain| add_linked(&pipeline, pad, &chain, &sink));
        if let Err(failure) = linked {
            failures.fail(failure);
        }
    });

    // A file with several streams has been looked through when there are no more pads, one with a single stream when it
    // is drained.
    for looked_through in ["no-more-pads", "drained"] {
        let weak_sink = sink.downgrade();
        let failures = Arc::clone(shared);
        parsebin.connect(looked_through, false, move |_| {
            if weak_sink.upgrade().is_some_and(|sink| !is_linked(&sink)) {
                failures.fail(Failure::new(
                    Reason::UnsupportedCodec,
                    format!("{}: there is no video in it that this pod can read", failures.origin().uri),
                ));
            }
            None
        });
    }
    Ok(Plan { pipeline, arrivals: None })
}

fn is_linked(sink: &gst::Element) -> bool {
    sink.static_pad("sink").is_some_and(|pad| pad.is_linked())
}

fn caps(pad: &gst::Pad) -> gst::Caps {
    pad.current_caps().unwrap_or_else(|| pad.query_caps(None))
}

fn is_video(pad: &gst::Pad) -> bool {
    caps(pad).structure(0).is_some_and(|structure| {
        let name = structure.name();
        name.starts_with("video/") || name.starts_with("image/")
    })
}

/// What stands between the parsed stream and its end: a second parser where the first left pieces of access units,
/// and the clock.
fn access_units(pad: &gst::Pad, paced: bool) -> Result<Vec<gst::Element>, Failure> {
    let caps = caps(pad);
    let mut chain = Vec::new();
    if let Some(structure) = caps.structure(0) {
        let whole = structure.get::<&str>("alignment").is_ok_and(|alignment| alignment == "au");
        let parser = match structure.name().as_str() {
            "video/x-h264" if !whole => Some(elements::H264PARSE),
            "video/x-h265" if !whole => Some(elements::H265PARSE),
            _ => None,
        };
        if let Some(parser) = parser {
            let filter = elements::CAPSFILTER.make()?;
            filter.set_property("caps", gst::Caps::builder(structure.name()).field("alignment", "au").build());
            chain.extend([parser.make()?, filter]);
        }
    }
    // Waits by decoding timestamps where there are any, so that pictures come in the order and at the times in which a
    // camera would send them.
    let identity = elements::IDENTITY.make()?;
    identity.set_property("sync", paced);
    chain.push(identity);
    Ok(chain)
}
