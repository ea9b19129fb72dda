//! `nvjpegenc`: one JPEG picture a frame, of NVMM memory.

use std::sync::LazyLock;

use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_video as gst_video;

use crate::{
    nvmm,
    properties::{Store, int},
};

glib::wrapper! {
    /// The element.
    pub(crate) struct JpegEncoder(ObjectSubclass<imp::JpegEncoder>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvjpegenc", gst::Rank::PRIMARY, JpegEncoder::static_type())
}

mod imp {
    #[allow(clippy::wildcard_imports, reason = "the other half of this element")]
    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct JpegEncoder {
        store: Store,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for JpegEncoder {
        const NAME: &'static str = "GstNvJpegEnc";
        type Type = super::JpegEncoder;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for JpegEncoder {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                LazyLock::new(|| vec![int("quality", (0, 100), 85, false)]);
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
            for template in Self::pad_templates() {
                let pad = gst::GhostPad::from_template(template);
                let added = self.obj().add_pad(&pad);
                debug_assert!(added.is_ok(), "a new bin takes pads of two names");
            }
        }
    }

    impl GstObjectImpl for JpegEncoder {}

    impl ElementImpl for JpegEncoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "JPEG image encoder",
                    "Codec/Encoder/Image",
                    "Encode images in JPEG format (stand-in: jpegenc)",
                    "vision-operator",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let formats = [gst_video::VideoFormat::I420, gst_video::VideoFormat::Nv12];
                let sink = gst_video::VideoCapsBuilder::new().features([nvmm::FEATURE]).format_list(formats).build();
                let source = gst::Caps::new_empty_simple("image/jpeg");
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
            if transition == gst::StateChange::NullToReady && self.obj().children().is_empty() {
                self.fill().map_err(|error| {
                    gst::element_imp_error!(self, gst::CoreError::MissingPlugin, ["{error}"]);
                    gst::StateChangeError
                })?;
            }
            self.parent_change_state(transition)
        }
    }

    impl BinImpl for JpegEncoder {}

    impl JpegEncoder {
        /// What is inside: to the processor's memory, and GStreamer's encoder.
        fn fill(&self) -> Result<(), glib::BoolError> {
            let bin = self.obj();
            let download = glib::Object::new::<crate::convert::Convert>();
            let caps = gst::Caps::builder("video/x-raw").field("format", "I420").build();
            let filter = gst::ElementFactory::make("capsfilter").property("caps", caps).build()?;
            let quality: i32 = self.store.typed(&*bin, "quality");
            let encoder = gst::ElementFactory::make("jpegenc").property("quality", quality).build()?;
            let chain = [download.upcast_ref::<gst::Element>(), &filter, &encoder];
            bin.add_many(chain)?;
            gst::Element::link_many(chain)?;
            for (name, element) in [("sink", chain[0]), ("src", chain[2])] {
                let target = element.static_pad(name);
                let ghost = bin.static_pad(name).and_then(|pad| pad.downcast::<gst::GhostPad>().ok());
                let ghost = ghost.ok_or_else(|| glib::bool_error!("no pad {name}"))?;
                ghost.set_target(target.as_ref())?;
            }
            Ok(())
        }
    }
}
