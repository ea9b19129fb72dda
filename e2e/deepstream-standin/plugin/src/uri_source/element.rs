//! The element: properties by version, and the elements inside it.

use std::sync::{LazyLock, Mutex, PoisonError, atomic::AtomicU64};

use deepstream_standin::version::current;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_video as gst_video;

use super::{CAT, Leaky, OldProtocol, Protocol, SmartRecord, SourceType, rtsp};
use crate::{
    decoder::{CudaMemory, SkipFrames},
    nvmm,
    properties::{Store, boolean, choice, int, text, uint, uint64},
};

#[derive(Debug, Default)]
pub(crate) struct UriSource {
    pub(super) store: Store,
    /// The first element inside: `rtspsrc` or `uridecodebin`.
    pub(super) inner: Mutex<Option<gst::Element>>,
    pub(super) reconnect: Mutex<Option<rtsp::Reconnect>>,
    /// When the last buffer came, milliseconds since the process began to count.
    pub(super) last_buffer: AtomicU64,
}

#[glib::object_subclass]
impl ObjectSubclass for UriSource {
    const NAME: &'static str = "GstDsNvUriSrcBin";
    type Type = super::UriSource;
    type ParentType = gst::Bin;
}

impl ObjectImpl for UriSource {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let version = current();
            let mut properties = vec![
                text("uri", None, true),
                uint("num-extra-surfaces", (0, u32::MAX), 1, true),
                uint("gpu-id", (0, u32::MAX), 0, true),
                choice("cudadec-memtype", CudaMemory::Device, true),
                uint("drop-frame-interval", (0, 30), 0, true),
                choice("type", SourceType::Auto, true),
                choice("dec-skip-frames", SkipFrames::All, true),
                if version.at_least(8, 0) {
                    choice("select-rtp-protocol", Protocol::Any, true)
                } else {
                    choice("select-rtp-protocol", OldProtocol::Any, true)
                },
                boolean("file-loop", false, false),
                choice("smart-record", SmartRecord::Disable, false),
                uint("rtsp-reconnect-interval", (0, u32::MAX), 0, true),
                uint("latency", (0, u32::MAX), 100, true),
                int("source-id", (-1, i32::MAX), -1, true),
                uint("udp-buffer-size", (0, u32::MAX), 524_288, true),
                boolean("disable-passthrough", false, false),
            ];
            if version.at_least(8, 0) {
                properties.extend([
                    uint("init-rtsp-reconnect-interval", (0, u32::MAX), 0, true),
                    int("rtsp-reconnect-attempts", (i32::MIN, i32::MAX), -1, true),
                    choice("leaky", Leaky::No, true),
                    uint("max-size-buffers", (0, u32::MAX), 200, true),
                    uint("buffer-mode", (0, 4), 3, true),
                    boolean("disable-audio", true, false),
                    boolean("drop-on-latency", true, false),
                    boolean("low-latency-mode", false, false),
                    boolean("extract-sei-type5-data", false, false),
                    text("sei-uuid", None, true),
                    boolean("ipc-buffer-timestamp-copy", false, false),
                    text("ipc-socket-path", None, true),
                    int("ipc-connection-attempts", (-1, i32::MAX), -1, false),
                    uint64("ipc-connection-interval", 1_000_000),
                ]);
            }
            if version.at_least(9, 1) {
                properties.push(uint("simulate-fps-interval-ms", (0, 1000), 0, true));
            }
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        self.store.set(self.obj().upcast_ref(), spec, value);
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        self.store.get(spec)
    }
}

impl GstObjectImpl for UriSource {}

impl ElementImpl for UriSource {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "NvUriSrc Bin",
                "NvUriSrc Bin",
                "Nvidia DeepStreamSDK NvUriSrc Bin (stand-in)",
                "vision-operator",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let formats = [gst_video::VideoFormat::I420, gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Rgba];
            let caps = gst_video::VideoCapsBuilder::new().features([nvmm::FEATURE]).format_list(formats).build();
            gst::PadTemplate::new("vsrc_%u", gst::PadDirection::Src, gst::PadPresence::Sometimes, &caps)
                .into_iter()
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.fill().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?,
            // The timer must not begin an attempt while the elements go.
            gst::StateChange::PausedToReady => drop(self.take_reconnect()),
            _ => {}
        }
        let result = self.parent_change_state(transition)?;
        if transition == gst::StateChange::ReadyToNull {
            self.empty();
        }
        Ok(result)
    }
}

impl BinImpl for UriSource {}

impl UriSource {
    fn take_reconnect(&self) -> Option<rtsp::Reconnect> {
        self.reconnect.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes what is inside, from the properties as they are now. What is set later does not count.
    fn fill(&self) -> Result<(), gst::ErrorMessage> {
        let element = self.obj();
        let settings = |message: String| gst::error_msg!(gst::LibraryError::Settings, ["{message}"]);
        let uri: Option<String> = self.store.typed(&*element, "uri");
        let uri = uri.ok_or_else(|| settings("uri of nvurisrcbin is not set".to_owned()))?;
        let kind: SourceType = self.store.typed(&*element, "type");
        for (name, wanted) in [
            ("file-loop", self.store.typed::<bool>(&*element, "file-loop")),
            ("smart-record", self.store.typed::<SmartRecord>(&*element, "smart-record") != SmartRecord::Disable),
        ] {
            if wanted {
                return Err(settings(format!("the stand-in does not play {name} of nvurisrcbin")));
            }
        }
        // rtspt:// and rtsps:// are no cameras to the real element either.
        let camera = kind == SourceType::Rtsp || (kind == SourceType::Auto && uri.starts_with("rtsp://"));
        let inner = if camera { rtsp::make(self, &uri) } else { self.make_decodebin(&uri) };
        let inner = inner.map_err(|error| gst::error_msg!(gst::CoreError::MissingPlugin, ["{error}"]))?;
        element.add(&inner).map_err(|error| settings(error.to_string()))?;
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
        if camera {
            let reconnect = rtsp::Reconnect::begin(self);
            *self.reconnect.lock().unwrap_or_else(PoisonError::into_inner) = reconnect;
        }
        Ok(())
    }

    fn make_decodebin(&self, uri: &str) -> Result<gst::Element, glib::BoolError> {
        let decodebin = gst::ElementFactory::make("uridecodebin").property("uri", uri).build()?;
        let weak = self.obj().downgrade();
        decodebin.connect_pad_added(move |_, pad| {
            let Some(element) = weak.upgrade() else { return };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            if caps.structure(0).is_some_and(|structure| structure.name() == "video/x-raw") {
                element.imp().show(pad, &caps);
            }
        });
        let weak = self.obj().downgrade();
        let decoders = move |bin: &gst::Bin, _: &gst::Bin, inside: &gst::Element| {
            let _ = bin;
            if let Some(element) = weak.upgrade()
                && inside.factory().is_some_and(|factory| factory.name() == "nvv4l2decoder")
            {
                element.imp().configure_decoder(inside);
            }
        };
        if let Some(bin) = decodebin.downcast_ref::<gst::Bin>() {
            bin.connect_deep_element_added(decoders);
        }
        Ok(decodebin)
    }

    /// Hands the decoder's properties on.
    pub(super) fn configure_decoder(&self, decoder: &gst::Element) {
        let element = self.obj();
        for (from, to) in [
            ("drop-frame-interval", "drop-frame-interval"),
            ("gpu-id", "gpu-id"),
            ("num-extra-surfaces", "num-extra-surfaces"),
            ("dec-skip-frames", "skip-frames"),
            ("cudadec-memtype", "cudadec-memtype"),
        ] {
            decoder.set_property_from_value(to, &element.property_value(from));
        }
    }

    /// Gives a decoded stream to the outside, behind a queue.
    pub(super) fn show(&self, pad: &gst::Pad, caps: &gst::CapsRef) {
        let element = self.obj();
        if !caps.features(0).is_some_and(|features| features.contains(nvmm::FEATURE)) {
            gst::element_imp_error!(
                self,
                gst::CoreError::MissingPlugin,
                ["decoded to {caps}, not to NVMM memory: nvv4l2decoder does not decode this stream"]
            );
            return;
        }
        let result = self.link_queue(pad).and_then(|source| {
            let template = element.pad_template("vsrc_%u").ok_or_else(|| glib::bool_error!("no template"))?;
            let index = element.src_pads().len();
            let ghost = gst::GhostPad::builder_from_template_with_target(&template, &source)?
                .name(format!("vsrc_{index}"))
                .build();
            ghost.set_active(true)?;
            element.add_pad(&ghost)
        });
        match result {
            Ok(()) => gst::info!(CAT, imp = self, "streams"),
            Err(error) => gst::element_imp_error!(self, gst::CoreError::Pad, ["cannot show the stream: {error}"]),
        }
    }

    fn link_queue(&self, pad: &gst::Pad) -> Result<gst::Pad, glib::BoolError> {
        let element = self.obj();
        let frames = match self.store.typed::<u32>(&*element, "max-size-buffers") {
            0 => 200,
            frames => frames,
        };
        let leaky: Leaky = self.store.typed(&*element, "leaky");
        let queue = gst::ElementFactory::make("queue")
            .property("max-size-buffers", frames)
            .property("max-size-bytes", 0_u32)
            .property("max-size-time", 0_u64)
            .property_from_str("leaky", ["no", "upstream", "downstream"][leaky as usize])
            .build()?;
        element.add(&queue)?;
        queue.sync_state_with_parent()?;
        let sink = queue.static_pad("sink").ok_or_else(|| glib::bool_error!("queue without sink"))?;
        pad.link(&sink).map_err(|error| glib::bool_error!("{error}"))?;
        queue.static_pad("src").ok_or_else(|| glib::bool_error!("queue without src"))
    }

    /// Takes everything out, so that the next start begins afresh.
    fn empty(&self) {
        let element = self.obj();
        drop(self.take_reconnect());
        for pad in element.src_pads() {
            // It is this element's pad.
            let _ = element.remove_pad(&pad);
        }
        for inside in element.children() {
            let _ = inside.set_state(gst::State::Null);
            let _ = element.remove(&inside);
        }
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
