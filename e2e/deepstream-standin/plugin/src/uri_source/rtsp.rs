//! Cameras: `rtspsrc` and what follows it, and the reconnection that the real element has.

use std::{
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use deepstream_standin::version::current;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};

use super::{CAT, OldProtocol, Protocol, element::UriSource};

/// How often is looked whether a camera is silent.
const LOOK: Duration = Duration::from_secs(1);

/// Between two reconnections of any source in the process.
const BETWEEN_RESETS: Duration = Duration::from_secs(3);

/// Milliseconds since the process began to count.
fn now() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed().as_millis() as u64
}

fn protocols(source: &UriSource) -> &'static str {
    let element = source.obj();
    if current().at_least(8, 0) {
        match source.store.typed::<Protocol>(&*element, "select-rtp-protocol") {
            Protocol::Udp => "udp",
            Protocol::Multicast => "udp-mcast",
            Protocol::Tcp => "tcp",
            Protocol::Http => "http",
            Protocol::Tls => "tls",
            Protocol::Unknown | Protocol::Any => "tcp+udp-mcast+udp",
        }
    } else {
        match source.store.typed::<OldProtocol>(&*element, "select-rtp-protocol") {
            OldProtocol::Tcp => "tcp",
            OldProtocol::Any => "tcp+udp-mcast+udp",
        }
    }
}

/// The source of a camera's packets. What decodes them is added when their kind is known.
pub(super) fn make(source: &UriSource, uri: &str) -> Result<gst::Element, glib::BoolError> {
    let element = source.obj();
    let rtspsrc = gst::ElementFactory::make("rtspsrc")
        .name("src")
        .property("location", uri)
        .property("latency", source.store.typed::<u32>(&*element, "latency"))
        .property("udp-buffer-size", source.store.typed::<u32>(&*element, "udp-buffer-size") as i32)
        .property_from_str("protocols", protocols(source))
        .build()?;
    if element.find_property("drop-on-latency").is_some() {
        rtspsrc.set_property("drop-on-latency", element.property::<bool>("drop-on-latency"));
    }
    let weak = element.downgrade();
    rtspsrc.connect_pad_added(move |_, pad| {
        if let Some(element) = weak.upgrade()
            && let Err(error) = decode(element.imp(), pad)
        {
            gst::element_error!(element, gst::CoreError::Pad, ["cannot decode {}: {error}", pad.name()]);
        }
    });
    Ok(rtspsrc)
}

fn decode(source: &UriSource, pad: &gst::Pad) -> Result<(), glib::BoolError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let encoding = caps.structure(0).and_then(|structure| structure.get::<String>("encoding-name").ok());
    let (depayloader, parser) = match encoding.as_deref() {
        Some("H264") => ("rtph264depay", "h264parse"),
        Some("H265") => ("rtph265depay", "h265parse"),
        _ => {
            gst::info!(CAT, imp = source, "{} is not decoded", pad.name());
            return Ok(());
        }
    };
    let bin = source.obj();
    let depayloader = gst::ElementFactory::make(depayloader).build()?;
    let parser = gst::ElementFactory::make(parser).property("config-interval", -1).build()?;
    let decoder = gst::ElementFactory::make("nvv4l2decoder").build()?;
    source.configure_decoder(&decoder);
    let chain = [&depayloader, &parser, &decoder];
    bin.add_many(chain)?;
    gst::Element::link_many(chain)?;
    let output = decoder.static_pad("src").ok_or_else(|| glib::bool_error!("decoder without src"))?;
    let weak = bin.downgrade();
    output.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if let Some(element) = weak.upgrade() {
            element.imp().last_buffer.store(now(), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    if bin.src_pads().is_empty() {
        source.show(&output, &decoder_caps());
    } else {
        relink(source, &output)?;
    }
    for element in chain.iter().rev() {
        element.sync_state_with_parent()?;
    }
    let sink = depayloader.static_pad("sink").ok_or_else(|| glib::bool_error!("depayloader without sink"))?;
    if source.reconnect.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        // With reconnection the end of a camera's stream never comes through.
        sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| match info.event() {
            Some(event) if event.type_() == gst::EventType::Eos => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        });
    }
    pad.link(&sink).map_err(|error| glib::bool_error!("{error}"))?;
    Ok(())
}

/// What nvv4l2decoder gives.
fn decoder_caps() -> gst::Caps {
    gst::Caps::builder("video/x-raw").features([crate::nvmm::FEATURE]).field("format", "NV12").build()
}

/// Links a new decoder to the queue that the old one was linked to.
fn relink(source: &UriSource, output: &gst::Pad) -> Result<(), glib::BoolError> {
    let queue = source
        .obj()
        .children()
        .into_iter()
        .find(|inside| inside.factory().is_some_and(|factory| factory.name() == "queue"))
        .and_then(|queue| queue.static_pad("sink"))
        .ok_or_else(|| glib::bool_error!("no queue"))?;
    output.link(&queue).map_err(|error| glib::bool_error!("{error}"))?;
    Ok(())
}

/// A timer on the default main context that begins anew where a camera is silent. Without a main loop nothing happens,
/// as with the real element.
#[derive(Debug)]
pub(crate) struct Reconnect(Option<glib::SourceId>);

impl Drop for Reconnect {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            id.remove();
        }
    }
}

impl Reconnect {
    /// Begins to look, if `rtsp-reconnect-interval` was set before the element became ready.
    pub(super) fn begin(source: &UriSource) -> Option<Self> {
        let interval: u32 = source.store.typed(&*source.obj(), "rtsp-reconnect-interval");
        if interval == 0 {
            return None;
        }
        source.last_buffer.store(now(), Ordering::Relaxed);
        let weak = source.obj().downgrade();
        let id = glib::timeout_add(LOOK, move || {
            let Some(element) = weak.upgrade() else { return glib::ControlFlow::Break };
            look(element.imp(), Duration::from_secs(u64::from(interval)));
            glib::ControlFlow::Continue
        });
        Some(Self(Some(id)))
    }
}

/// Begins anew where nothing has come for `interval` and no source of the process has begun anew for a while.
fn look(source: &UriSource, interval: Duration) {
    static LAST_RESET: AtomicU64 = AtomicU64::new(0);
    static ONE: Mutex<()> = Mutex::new(());
    let silent = now().saturating_sub(source.last_buffer.load(Ordering::Relaxed));
    if silent < interval.as_millis() as u64 {
        return;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let last = LAST_RESET.load(Ordering::Relaxed);
    if last != 0 && now().saturating_sub(last) < BETWEEN_RESETS.as_millis() as u64 {
        return;
    }
    LAST_RESET.store(now(), Ordering::Relaxed);
    gst::info!(CAT, imp = source, "silent for {silent} ms, begins anew");
    let element = source.obj();
    let Some(rtspsrc) = source.inner.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    // This runs in the main loop, as in the real element: what hangs here hangs the loop.
    let _ = rtspsrc.set_state(gst::State::Null);
    for inside in element.children() {
        let name = inside.factory().map(|factory| factory.name());
        if inside != rtspsrc && name.is_some_and(|name| name != "queue") {
            let _ = inside.set_state(gst::State::Null);
            let _ = element.remove(&inside);
        }
    }
    source.last_buffer.store(now(), Ordering::Relaxed);
    if let Err(error) = rtspsrc.sync_state_with_parent() {
        gst::warning!(CAT, imp = source, "{error}");
    }
}
