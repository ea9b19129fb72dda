//! `nvdsosd`: draws the boxes of a batch's metadata into its pictures. Texts are not drawn: the stand-in has no fonts.

use std::sync::LazyLock;

use deepstream_standin::{
    layout::{BatchMeta, DisplayMeta, FrameHead, RectParams, RotatedRectParams, object_view, surface_params},
    list,
    version::{Epoch, current, epoch},
};
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_base::subclass::{BaseTransformMode, prelude::*};
use gstreamer_video as gst_video;

use crate::{
    nvmm::{self, Mapped},
    picture::{Area, Canvas},
    properties::{Store, boolean, choice, text, uint},
    runtime::table,
};

/// What draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstNvDsOsdMode")]
pub(crate) enum ProcessMode {
    /// The processor; RGBA only.
    #[enum_value(name = "CPU_MODE", nick = "CPU_MODE")]
    Cpu = 0,
    /// The GPU.
    #[default]
    #[enum_value(name = "GPU_MODE", nick = "GPU_MODE")]
    Gpu = 1,
}

glib::wrapper! {
    /// The element.
    pub(crate) struct Osd(ObjectSubclass<imp::Osd>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the plugin's elements.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "nvdsosd", gst::Rank::PRIMARY, Osd::static_type())
}

mod imp {
    #[allow(clippy::wildcard_imports, reason = "the other half of this element")]
    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct Osd {
        store: Store,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Osd {
        const NAME: &'static str = "GstNvDsOsd";
        type Type = super::Osd;
        type ParentType = gstreamer_base::BaseTransform;
    }

    impl ObjectImpl for Osd {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                let version = current();
                let mut properties = vec![
                    boolean("display-clock", false, false),
                    boolean("display-text", true, false),
                    boolean("display-bbox", true, false),
                    boolean("display-mask", false, false),
                    text("clock-font", None, false),
                    uint("clock-font-size", (0, 60), 12, false),
                    uint("x-clock-offset", (0, u32::MAX), 0, false),
                    uint("y-clock-offset", (0, u32::MAX), 0, false),
                    uint("clock-color", (0, u32::MAX), 0, false),
                    choice("process-mode", ProcessMode::Gpu, false),
                    uint("gpu-id", (0, u32::MAX), 0, true),
                ];
                if version.at_least(8, 0) {
                    properties.push(uint("blur-bbox", (0, 2), 0, false));
                    properties.push(text("blur-on-gie-class-ids", None, false));
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

    impl GstObjectImpl for Osd {}

    impl ElementImpl for Osd {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "NvDsOsd plugin",
                    "NvDsOsd functionality",
                    "Gstreamer bounding box draw element (stand-in)",
                    "vision-operator",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let formats = [gst_video::VideoFormat::Rgba, gst_video::VideoFormat::Nv12];
                let caps = gst_video::VideoCapsBuilder::new().features([nvmm::FEATURE]).format_list(formats).build();
                [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                    .into_iter()
                    .filter_map(|(name, direction)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                    })
                    .collect()
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Osd {
        const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn set_caps(&self, from: &gst::Caps, _to: &gst::Caps) -> Result<(), gst::LoggableError> {
            let mode: ProcessMode = self.store.typed(&*self.obj(), "process-mode");
            let format = from.structure(0).and_then(|structure| structure.get::<String>("format").ok());
            if mode == ProcessMode::Cpu && format.as_deref() != Some("RGBA") {
                return Err(gst::loggable_error!(gst::CAT_RUST, "process-mode 0 of nvdsosd draws into RGBA only"));
            }
            Ok(())
        }

        fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            // SAFETY: the buffer is valid, and ours to change.
            let batch: *mut BatchMeta = unsafe { (table().gst_buffer_get_nvds_batch_meta)(buffer.as_mut_ptr()) };
            if batch.is_null() || !self.store.typed::<bool>(&*self.obj(), "display-bbox") {
                return Ok(gst::FlowSuccess::Ok);
            }
            let mut head = Mapped::new(buffer).ok_or(gst::FlowError::Error)?.head();
            // SAFETY: the batch and the surfaces of this buffer, which is ours to change. Surfaces are changed through
            // their own pointers, as the real element does.
            unsafe {
                for frame in list::items((*batch).frame_list) {
                    let frame = &*frame.cast::<FrameHead>();
                    if frame.batch_id >= head.filled {
                        continue;
                    }
                    let surface = surface_params(epoch(), &raw mut head, frame.batch_id as usize);
                    let mut canvas = Canvas::new(surface);
                    for object in list::items(frame.object_list) {
                        draw(&mut canvas, object_view(epoch(), object).rect);
                    }
                    for display in list::items(frame.display_list) {
                        if epoch() < Epoch::V9 {
                            let display = &*display.cast::<DisplayMeta<RectParams>>();
                            display
                                .rects
                                .iter()
                                .take(display.counts[0] as usize)
                                .for_each(|rect| draw(&mut canvas, rect));
                        } else {
                            let display = &*display.cast::<DisplayMeta<RotatedRectParams>>();
                            let rects = display.rects.iter().take(display.counts[0] as usize);
                            rects.for_each(|rotated| draw(&mut canvas, &rotated.rect));
                        }
                    }
                }
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }
}

/// Draws the border of a rectangle.
fn draw(canvas: &mut Canvas<'_>, rect: &RectParams) {
    let pixels = |value: f32| value.max(0.0) as usize;
    let area =
        Area { left: pixels(rect.left), top: pixels(rect.top), width: pixels(rect.width), height: pixels(rect.height) };
    canvas.frame(area, rect.border_width as usize, rect.border_color);
}
