//! `nvv4l2decoder`: decodes with GStreamer's libav elements and gives NVMM memory.

mod upload;

use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use deepstream_standin::version::current;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};

use self::upload::Upload;
use crate::{
    nvmm,
    properties::{Store, boolean, choice, uint},
};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("v4l2videodec", gst::DebugColorFlags::empty(), Some("nvv4l2decoder")));

/// Which frames are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "SkipFrame")]
pub(crate) enum SkipFrames {
    /// All of them.
    #[default]
    #[enum_value(name = "Decode all frames", nick = "decode_all")]
    All = 0,
    /// Those that others refer to.
    #[enum_value(name = "Decode non-ref frames", nick = "decode_non_ref")]
    NonReference = 1,
    /// Key frames.
    #[enum_value(name = "decode key frames", nick = "decode_key")]
    Key = 2,
}

/// Where decoded frames lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "CudaDecMemType")]
pub(crate) enum CudaMemory {
    /// The GPU's memory.
    #[default]
    #[enum_value(name = "Memory type Device", nick = "memtype_device")]
    Device = 0,
    /// The host's pinned memory.
    #[enum_value(name = "Memory type Host Pinned", nick = "memtype_pinned")]
    Pinned = 1,
    /// Memory that both reach.
    #[enum_value(name = "Memory type Unified", nick = "memtype_unified")]
    Unified = 2,
}

glib::wrapper! {
    /// The element.
    pub(crate) struct Decoder(ObjectSubclass<imp::Decoder>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let rank = gst::Rank::PRIMARY + 11;
    gst::Element::register(Some(plugin), "nvv4l2decoder", rank, Decoder::static_type())
}

mod imp {
    #[allow(clippy::wildcard_imports, reason = "the other half of this element")]
    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct Decoder {
        store: Store,
        upload: OnceLock<Upload>,
        codec: Mutex<Option<gst::Element>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Decoder {
        const NAME: &'static str = "GstNvV4l2Decoder";
        type Type = super::Decoder;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Decoder {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                let mut properties = vec![
                    uint("gpu-id", (0, u32::MAX), 0, true),
                    uint("num-extra-surfaces", (0, 55), 1, true),
                    uint("drop-frame-interval", (0, 30), 0, true),
                    choice("skip-frames", SkipFrames::All, true),
                    choice("cudadec-memtype", CudaMemory::Device, true),
                    boolean("disable-dpb", false, false),
                ];
                if current().at_least(6, 0) {
                    properties.push(boolean("low-latency-mode", false, false));
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

        fn constructed(&self) {
            self.parent_constructed();
            let bin = self.obj();
            let upload = glib::Object::new::<Upload>();
            let templates = Self::pad_templates();
            // A bin unlinks what it takes in, so pads come afterwards.
            let mut added = bin.add(&upload).is_ok();
            let source = upload.static_pad("src").and_then(|pad| {
                gst::GhostPad::builder_from_template_with_target(&templates[1], &pad)
                    .ok()
                    .map(|pad| pad.name("src").build())
            });
            let sink = gst::GhostPad::builder_from_template(&templates[0])
                .name("sink")
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, event))
                })
                .chain_function(|pad, parent, buffer| {
                    Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.chain(pad, buffer))
                })
                .build();
            added = added && bin.add_pad(&sink).is_ok() && source.is_some_and(|source| bin.add_pad(&source).is_ok());
            debug_assert!(added, "a new bin takes pads and elements of names that it does not have");
            let _ = self.upload.set(upload);
        }
    }

    impl GstObjectImpl for Decoder {}

    impl ElementImpl for Decoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "NVIDIA v4l2 video decoder",
                    "Codec/Decoder/Video/Hardware",
                    "Decode video streams via V4L2 API (stand-in: libav)",
                    "vision-operator",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let stream = |name: &str| {
                    gst::Structure::builder(name).field("stream-format", "byte-stream").field("alignment", "au").build()
                };
                let sink = gst::Caps::builder_full()
                    .structure(stream("video/x-h264"))
                    .structure(stream("video/x-h265"))
                    .build();
                let source =
                    gst::Caps::builder("video/x-raw").features([nvmm::FEATURE]).field("format", "NV12").build();
                [("sink", gst::PadDirection::Sink, sink), ("src", gst::PadDirection::Src, source)]
                    .into_iter()
                    .filter_map(|(name, direction, caps)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                    })
                    .collect()
            });
            &TEMPLATES
        }

        fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if transition == gst::StateChange::ReadyToPaused
                && let Some(upload) = self.upload.get()
            {
                upload.keep_every(self.store.typed(&*self.obj(), "drop-frame-interval"));
            }
            let result = self.parent_change_state(transition)?;
            if transition == gst::StateChange::ReadyToNull {
                let decoder = self.codec.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(decoder) = decoder {
                    self.forget(&decoder);
                }
            }
            Ok(result)
        }
    }

    impl BinImpl for Decoder {}

    impl Decoder {
        /// Takes the decoder of a codec out again.
        fn forget(&self, decoder: &gst::Element) {
            let bin = self.obj();
            if let Some(pad) = bin.static_pad("sink").and_then(|pad| pad.downcast::<gst::GhostPad>().ok()) {
                // Only fails where there is none.
                let _ = pad.set_target(None::<&gst::Pad>);
            }
            // The element is in NULL or goes there; the bin has it, for nothing else takes elements out.
            let _ = decoder.set_state(gst::State::Null);
            let _ = bin.remove(decoder);
        }

        /// Puts the decoder of the caps' codec in place.
        fn choose(&self, pad: &gst::GhostPad, caps: &gst::CapsRef) -> Result<(), glib::BoolError> {
            let mut decoder = self.codec.lock().unwrap_or_else(PoisonError::into_inner);
            let name = match caps.structure(0).map(|structure| structure.name().as_str()) {
                Some("video/x-h265") => "avdec_h265",
                _ => "avdec_h264",
            };
            if let Some(present) = decoder.take() {
                if present.factory().is_some_and(|factory| factory.name() == name) {
                    *decoder = Some(present);
                    return Ok(());
                }
                self.forget(&present);
            }
            let element = gst::ElementFactory::make(name).property("max-threads", 1).build()?;
            let upload = self.upload.get().ok_or_else(|| glib::bool_error!("not constructed"))?;
            let bin = self.obj();
            bin.add(&element)?;
            element.link(upload)?;
            element.sync_state_with_parent()?;
            pad.set_target(element.static_pad("sink").as_ref())?;
            *decoder = Some(element);
            Ok(())
        }

        fn sink_event(&self, pad: &gst::GhostPad, event: gst::Event) -> bool {
            if let gst::EventView::Caps(caps) = event.view()
                && let Err(error) = self.choose(pad, caps.caps())
            {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::MissingPlugin,
                    ["no decoder for {}: {error}; gstreamer1.0-libav brings it", caps.caps()]
                );
                return false;
            }
            gst::Pad::event_default(pad, Some(&*self.obj()), event)
        }

        fn chain(&self, pad: &gst::GhostPad, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let skip: SkipFrames = self.store.typed(&*self.obj(), "skip-frames");
            if skip == SkipFrames::Key && buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                gst::log!(CAT, imp = self, "not decoded, for it is no key frame");
                return Ok(gst::FlowSuccess::Ok);
            }
            gst::ProxyPad::chain_default(pad, Some(&*self.obj()), buffer)
        }
    }
}
