//! `nvv4l2decoder`: decodes with GStreamer's libav elements and gives NVMM memory.

mod upload;

use std::sync::{LazyLock, Mutex, PoisonError};

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
        /// libav's decoder and what follows it, once the codec is known.
        inside: Mutex<Option<(gst::Element, Upload)>>,
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

        /// Two pads and nothing inside: whoever looks for unlinked pads in a pipeline must find this element's alone.
        fn constructed(&self) {
            self.parent_constructed();
            let templates = Self::pad_templates();
            let sink = gst::GhostPad::builder_from_template(&templates[0])
                .name("sink")
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, event))
                })
                .chain_function(|pad, parent, buffer| {
                    Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.chain(pad, buffer))
                })
                .build();
            let source = gst::GhostPad::builder_from_template(&templates[1]).name("src").build();
            for pad in [sink, source] {
                let added = self.obj().add_pad(&pad);
                debug_assert!(added.is_ok(), "a new bin takes pads of two names");
            }
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
            let result = self.parent_change_state(transition)?;
            if transition == gst::StateChange::ReadyToNull {
                self.forget();
            }
            Ok(result)
        }
    }

    impl BinImpl for Decoder {}

    impl Decoder {
        fn ghost(&self, name: &str) -> Option<gst::GhostPad> {
            self.obj().static_pad(name)?.downcast().ok()
        }

        /// Takes out what is inside.
        fn forget(&self) {
            let Some((decoder, upload)) = self.inside.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                return;
            };
            for name in ["sink", "src"] {
                if let Some(pad) = self.ghost(name) {
                    // To have no target is always possible.
                    let _ = pad.set_target(None::<&gst::Pad>);
                }
            }
            for element in [decoder, upload.upcast()] {
                // It goes to NULL and is this bin's own.
                let _ = element.set_state(gst::State::Null);
                let _ = self.obj().remove(&element);
            }
        }

        /// Puts the decoder of the caps' codec in place.
        fn choose(&self, caps: &gst::CapsRef) -> Result<(), glib::BoolError> {
            let name = match caps.structure(0).map(|structure| structure.name().as_str()) {
                Some("video/x-h265") => "avdec_h265",
                _ => "avdec_h264",
            };
            let present = self.inside.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((decoder, _)) = present {
                if decoder.factory().is_some_and(|factory| factory.name() == name) {
                    return Ok(());
                }
                self.forget();
            }
            let bin = self.obj();
            let decoder = gst::ElementFactory::make(name).property("max-threads", 1).build()?;
            let upload = glib::Object::new::<Upload>();
            upload.keep_every(self.store.typed(&*bin, "drop-frame-interval"));
            bin.add_many([&decoder, upload.upcast_ref()])?;
            decoder.link(&upload)?;
            let [sink, source] =
                ["sink", "src"].map(|name| self.ghost(name).ok_or_else(|| glib::bool_error!("{name}")));
            source?.set_target(upload.static_pad("src").as_ref())?;
            upload.sync_state_with_parent()?;
            decoder.sync_state_with_parent()?;
            sink?.set_target(decoder.static_pad("sink").as_ref())?;
            *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = Some((decoder, upload));
            Ok(())
        }

        fn sink_event(&self, pad: &gst::GhostPad, event: gst::Event) -> bool {
            if let gst::EventView::Caps(caps) = event.view()
                && let Err(error) = self.choose(caps.caps())
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
