//! Access unit → pictures, in the calling thread.
//!
//! One decoder element between two pads of our own: buffers are pushed into it and its pictures are collected by the
//! chain function of the pad behind it, all in the call that pushes. No queue, no thread, no main loop.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer::{self as gst, prelude::*};
use gstreamer_video::{self as gst_video, VideoInfo};

use super::stream::Decoded;
use crate::source::{Failure, Pacing, Reason, elements::Element};

/// How long a decoder may take to start.
const STATE_CHANGE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// A decoder known to be good.
struct Known {
    media_type: &'static str,
    codec: &'static str,
    element: Element,
}

const LIBAV: &str = "gstreamer1.0-libav";
const GOOD: &str = "gstreamer1.0-plugins-good";

const KNOWN: [Known; 4] = [
    known("video/x-h264", "H.264", "avdec_h264", LIBAV, &["max-threads", "output-corrupt"]),
    known("video/x-h265", "H.265", "avdec_h265", LIBAV, &["max-threads", "output-corrupt"]),
    known("image/jpeg", "JPEG", "jpegdec", GOOD, &[]),
    known("image/png", "PNG", "pngdec", GOOD, &[]),
];

const fn known(
    media_type: &'static str,
    codec: &'static str,
    name: &'static str,
    package: &'static str,
    properties: &'static [&'static str],
) -> Known {
    Known { media_type, codec, element: Element { name, package, properties } }
}

/// The decoders of the usual codecs. One that is missing matters only where a source needs it.
#[must_use]
pub fn elements() -> Vec<Element> {
    KNOWN.iter().map(|known| known.element).collect()
}

const RAW: &str = "video/x-raw";

fn media_type(caps: &gst::CapsRef) -> &str {
    caps.structure(0).map_or("", |structure| structure.name().as_str())
}

/// The usual name of the codec of `caps`.
pub(in crate::engine) fn codec_name(caps: &gst::CapsRef) -> &str {
    let media_type = media_type(caps);
    match KNOWN.iter().find(|known| known.media_type == media_type) {
        Some(known) => known.codec,
        None if media_type == RAW => "raw",
        None => media_type,
    }
}

/// Whether a picture of this format can be decoded only from a key frame on.
pub(in crate::engine) fn needs_key_frame(caps: &gst::CapsRef) -> bool {
    !matches!(media_type(caps), RAW | "image/jpeg" | "image/png")
}

/// Whether a decoder for `old` reads `new` without being set up again.
pub(in crate::engine) fn is_compatible(old: &gst::CapsRef, new: &gst::CapsRef) -> bool {
    let essential = ["stream-format", "alignment", "codec_data", "width", "height", "format", "mpegversion"];
    match (old.structure(0), new.structure(0)) {
        (Some(old), Some(new)) => {
            old.name() == new.name()
                && essential.iter().all(|&field| match (old.value(field), new.value(field)) {
                    (Ok(old), Ok(new)) => old.compare(new) == Some(std::cmp::Ordering::Equal),
                    (old, new) => old.is_err() && new.is_err(),
                })
        }
        _ => false,
    }
}

/// The decoder refuses to go on and has to be built anew.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct DecodeError(String);

/// See the module.
#[derive(Debug)]
pub(super) enum Decoder {
    /// Access units that are pictures already.
    Raw {
        info: Arc<VideoInfo>,
        pictures: Vec<Decoded>,
    },
    Element(ElementDecoder),
}

impl Decoder {
    /// A decoder for access units of `caps`.
    pub(super) fn new(caps: &gst::Caps, pacing: Pacing) -> Result<Self, Failure> {
        if media_type(caps) != RAW {
            return ElementDecoder::new(caps, pacing).map(Self::Element);
        }
        let info = VideoInfo::from_caps(caps)
            .map_err(|_| Failure::new(Reason::UnsupportedCodec, format!("pictures of an unknown kind: {caps}")))?;
        Ok(Self::Raw { info: Arc::new(info), pictures: Vec::new() })
    }

    /// The caps changed in a way that [`is_compatible`]. A decoder element is not told: it would begin anew and need a
    /// key frame, and what changed — a frame rate — it does not use.
    pub(super) fn update(&mut self, caps: &gst::Caps) {
        if let Self::Raw { info, .. } = self
            && let Ok(new) = VideoInfo::from_caps(caps)
        {
            *info = Arc::new(new);
        }
    }

    /// Decodes one access unit. Pictures, of this one or of earlier ones, are in [`Self::pictures`] then.
    pub(super) fn decode(&mut self, buffer: gst::Buffer) -> Result<(), DecodeError> {
        match self {
            Self::Raw { info, pictures } => {
                pictures.push(Decoded { buffer, info: info.clone() });
                Ok(())
            }
            Self::Element(decoder) => decoder.decode(buffer),
        }
    }

    /// Makes the decoder give the pictures that it holds back. It takes no more access units.
    pub(super) fn drain(&mut self) {
        if let Self::Element(decoder) = self {
            decoder.entry.push_event(gst::event::Eos::new());
        }
    }

    /// Takes the decoded pictures, in presentation order.
    pub(super) fn pictures(&mut self) -> Vec<Decoded> {
        match self {
            Self::Raw { pictures, .. } => std::mem::take(pictures),
            Self::Element(decoder) => std::mem::take(&mut decoder.output.lock().pictures),
        }
    }
}

/// What comes out of the element.
#[derive(Debug, Default)]
struct Output(Mutex<OutputState>);

#[derive(Debug, Default)]
struct OutputState {
    info: Option<Arc<VideoInfo>>,
    pictures: Vec<Decoded>,
    error: Option<String>,
}

impl Output {
    fn lock(&self) -> std::sync::MutexGuard<'_, OutputState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A decoder element and the pads around it.
#[derive(Debug)]
pub(super) struct ElementDecoder {
    element: gst::Element,
    entry: gst::Pad,
    exit: gst::Pad,
    output: Arc<Output>,
}

impl ElementDecoder {
    fn new(caps: &gst::Caps, pacing: Pacing) -> Result<Self, Failure> {
        let element = make(caps, pacing)?;
        let failed = |what: &str| Failure::new(Reason::PipelineFailed, format!("{}: {what}", element.name()));
        let output = Arc::new(Output::default());
        // Errors are kept for the caller; everything else nobody reads.
        let bus = gst::Bus::new();
        let errors = output.clone();
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                errors.lock().error.get_or_insert_with(|| error.error().to_string());
            }
            gst::BusSyncReply::Drop
        });
        element.set_bus(Some(&bus));

        let entry = gst::Pad::builder(gst::PadDirection::Src).name("entry").build();
        let exit = exit_pad(&output);
        let decoder = Self { element: element.clone(), entry, exit, output };
        let (sink, src) = (element.static_pad("sink"), element.static_pad("src"));
        let (Some(sink), Some(src)) = (sink, src) else { return Err(failed("has no pads of the usual names")) };
        decoder.entry.link(&sink).map_err(|error| failed(&format!("cannot be linked: {error}")))?;
        src.link(&decoder.exit).map_err(|error| failed(&format!("cannot be linked: {error}")))?;
        for pad in [&decoder.exit, &decoder.entry] {
            pad.set_active(true).map_err(|error| failed(&format!("its pads cannot be activated: {error}")))?;
        }
        let started = element.set_state(gst::State::Playing).and_then(|_| element.state(STATE_CHANGE).0);
        started.map_err(|error| failed(&format!("does not start: {error}")))?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let accepted = decoder.entry.push_event(gst::event::StreamStart::new("decoder"))
            && decoder.entry.push_event(gst::event::Caps::new(caps))
            && decoder.entry.push_event(gst::event::Segment::new(&segment));
        if !accepted {
            return Err(Failure::new(
                Reason::UnsupportedCodec,
                format!("{} does not take this kind of {}: {caps}", element.name(), codec_name(caps)),
            ));
        }
        Ok(decoder)
    }

    fn decode(&mut self, buffer: gst::Buffer) -> Result<(), DecodeError> {
        let pushed = self.entry.push(buffer);
        let error = self.output.lock().error.take();
        match (pushed, error) {
            (Ok(_), None) => Ok(()),
            (_, Some(error)) => Err(DecodeError(error)),
            (Err(error), None) => Err(DecodeError(error.to_string())),
        }
    }
}

impl Drop for ElementDecoder {
    fn drop(&mut self) {
        // A decoder that does not stop is only worth a word: nothing refers to it any more.
        if let Err(error) = self.element.set_state(gst::State::Null) {
            tracing::warn!(element = %self.element.name(), %error, "the decoder does not stop");
        }
        for pad in [&self.entry, &self.exit] {
            if pad.set_active(false).is_err() {
                tracing::warn!(element = %self.element.name(), "a pad of the decoder does not stop");
            }
        }
    }
}

/// The pad behind the decoder.
fn exit_pad(output: &Arc<Output>) -> gst::Pad {
    let (pictures, formats) = (output.clone(), output.clone());
    gst::Pad::builder(gst::PadDirection::Sink)
        .name("exit")
        .chain_function(move |_, _, buffer| {
            let mut output = pictures.lock();
            let info = output.info.clone().ok_or(gst::FlowError::NotNegotiated)?;
            output.pictures.push(Decoded { buffer, info });
            Ok(gst::FlowSuccess::Ok)
        })
        .event_function(move |_, _, event| {
            if let gst::EventView::Caps(caps) = event.view() {
                match VideoInfo::from_caps(caps.caps()) {
                    Ok(info) => formats.lock().info = Some(Arc::new(info)),
                    Err(_) => return false,
                }
            }
            true
        })
        .query_function(|pad, parent, query| {
            if let gst::QueryViewMut::Allocation(query) = query.view_mut() {
                // Strides and offsets are taken from the frame, so the decoder may write where it likes to.
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                return true;
            }
            gst::Pad::query_default(pad, parent, query)
        })
        .build()
}

/// The decoder element for `caps`.
fn make(caps: &gst::Caps, pacing: Pacing) -> Result<gst::Element, Failure> {
    let media_type = media_type(caps);
    let element = match KNOWN.iter().find(|known| known.media_type == media_type) {
        Some(known) => {
            known.element.check()?;
            gst::ElementFactory::make(known.element.name).build().map_err(|_| {
                Failure::new(
                    Reason::MissingElement,
                    format!("the GStreamer element {} cannot be made", known.element.name),
                )
            })?
        }
        None => any_software_decoder(caps).ok_or_else(|| {
            Failure::new(
                Reason::UnsupportedCodec,
                format!("no GStreamer element decodes {media_type}: the package gstreamer1.0-libav has most decoders"),
            )
        })?,
    };
    // One thread: frame threads would hold back a frame each, and the cores are busy with other sources.
    set_where_known(&element, "max-threads", "1");
    // Pictures that miss what they refer to are garbage to a detector.
    set_where_known(&element, "output-corrupt", "false");
    // Broken access units are counted and waited out here, see `attempt`.
    set_where_known(&element, "max-errors", "-1");
    set_where_known(&element, "qos", "false");
    // Many cameras do not say how far out of order they send frames. The standard then has a decoder hold back as many
    // as it can ever need, up to 16; libav can find out instead, at the risk of losing one. GStreamer 1.20 and newer.
    let compliance = if pacing == Pacing::Live { "normal" } else { "strict" };
    set_where_known(&element, "std-compliance", compliance);
    Ok(element)
}

fn set_where_known(element: &gst::Element, property: &str, value: &str) {
    if element.find_property(property).is_some() {
        element.set_property_from_str(property, value);
    }
}

/// The highest-ranked decoder for `caps` that works in ordinary memory.
fn any_software_decoder(caps: &gst::Caps) -> Option<gst::Element> {
    let decoders = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
    let mut factories: Vec<_> = gst::ElementFactory::factories_with_type(decoders, gst::Rank::MARGINAL)
        .into_iter()
        .filter(|factory| factory.can_sink_any_caps(caps))
        .filter(|factory| factory.metadata("klass").is_none_or(|class| !class.contains("Hardware")))
        .collect();
    factories.sort_by_key(|factory| std::cmp::Reverse(factory.rank()));
    factories.into_iter().find_map(|factory| factory.create().build().ok())
}
