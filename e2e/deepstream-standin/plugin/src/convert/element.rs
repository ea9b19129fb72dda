//! The element.

use std::sync::{LazyLock, Mutex, PoisonError};

use deepstream_standin::layout::memory_type;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_base::{
    prelude::*,
    subclass::{
        BaseTransformMode,
        base_transform::{InputBuffer, PrepareOutputBufferSuccess},
        prelude::*,
    },
};
use gstreamer_video as gst_video;

use super::host::{convert, format_of, read, write};
use crate::{
    mux::{BufferMemory, ComputeHardware, Interpolation},
    nvmm::{self, Mapped},
    picture::{Filter, Picture},
    properties::{Store, boolean, choice, text, uint},
};

/// The formats that are converted.
const FORMATS: [gst_video::VideoFormat; 3] =
    [gst_video::VideoFormat::Nv12, gst_video::VideoFormat::I420, gst_video::VideoFormat::Rgba];

/// One side of the element.
#[derive(Clone, Debug)]
struct Side {
    info: gst_video::VideoInfo,
    device: bool,
}

impl Side {
    fn new(caps: &gst::Caps) -> Option<Self> {
        let device = caps.features(0).is_some_and(|features| features.contains(nvmm::FEATURE));
        let mut plain = caps.clone();
        plain.make_mut().set_features(0, None);
        Some(Self { info: gst_video::VideoInfo::from_caps(&plain).ok()?, device })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Convert {
    store: Store,
    sides: Mutex<Option<(Side, Side)>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Convert {
    const NAME: &'static str = "Gstnvvideoconvert";
    type Type = super::Convert;
    type ParentType = gstreamer_base::BaseTransform;
}

impl ObjectImpl for Convert {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                uint("gpu-id", (0, u32::MAX), 0, true),
                choice("nvbuf-memory-type", BufferMemory::Default, true),
                choice("interpolation-method", Interpolation::Default, false),
                choice("compute-hw", ComputeHardware::Default, false),
                boolean("disable-passthrough", false, false),
                uint("output-buffers", (1, u32::MAX), 4, true),
                text("src-crop", None, false),
                text("dest-crop", None, false),
            ]
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

impl GstObjectImpl for Convert {}

fn all_caps() -> gst::Caps {
    let device = gst_video::VideoCapsBuilder::new().features([nvmm::FEATURE]).format_list(FORMATS).build();
    let mut caps = device;
    caps.merge(gst_video::VideoCapsBuilder::new().format_list(FORMATS).build());
    caps
}

impl ElementImpl for Convert {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "NvVidConv Plugin",
                "Filter/Converter/Video/Scaler",
                "Converts video from one colorspace to another & Resizes (stand-in)",
                "vision-operator",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = all_caps();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .filter_map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Some(name) = ["src-crop", "dest-crop"].into_iter().find(|name| self.store.is_set(name))
        {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Settings,
                ["the stand-in does not play {name} of nvvideoconvert"]
            );
            return Err(gst::StateChangeError);
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for Convert {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    /// Memory, format and size may be others; the rest stays.
    fn transform_caps(
        &self,
        _direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let mut other = gst::Caps::new_empty();
        for structure in caps.iter() {
            for device in [true, false] {
                let mut structure = structure.to_owned();
                structure.set("format", gst::List::new(FORMATS.map(|format| format.to_str().to_string())));
                structure.set("width", gst::IntRange::new(1, i32::MAX));
                structure.set("height", gst::IntRange::new(1, i32::MAX));
                structure.remove_fields(["colorimetry", "chroma-site", "batch-size", "num-surfaces-per-frame"]);
                let features = device.then(|| gst::CapsFeatures::new([nvmm::FEATURE]));
                other.make_mut().append_structure_full(structure, features);
            }
        }
        // What came in comes first, so that nothing is converted without need.
        let mut first = caps.clone();
        first.merge(other);
        Some(
            filter.map_or_else(
                || first.clone(),
                |filter| filter.intersect_with_mode(&first, gst::CapsIntersectMode::First),
            ),
        )
    }

    fn fixate_caps(&self, _direction: gst::PadDirection, caps: &gst::Caps, mut other: gst::Caps) -> gst::Caps {
        other.truncate();
        if let Some(from) = caps.structure(0) {
            let (width, height) = (from.get::<i32>("width").ok(), from.get::<i32>("height").ok());
            let format = from.get::<String>("format").ok();
            let to = other.make_mut();
            if let Some(to) = to.structure_mut(0) {
                if let (Some(width), Some(height)) = (width, height) {
                    to.fixate_field_nearest_int("width", width);
                    to.fixate_field_nearest_int("height", height);
                }
                if let Some(format) = format {
                    to.fixate_field_str("format", &format);
                }
            }
        }
        other.fixate();
        other
    }

    fn set_caps(&self, from: &gst::Caps, to: &gst::Caps) -> Result<(), gst::LoggableError> {
        let sides = Side::new(from).zip(Side::new(to));
        let sides = sides.ok_or_else(|| gst::loggable_error!(gst::CAT_RUST, "cannot read caps {from} or {to}"))?;
        *self.sides.lock().unwrap_or_else(PoisonError::into_inner) = Some(sides);
        Ok(())
    }

    fn prepare_output_buffer(&self, input: InputBuffer<'_>) -> Result<PrepareOutputBufferSuccess, gst::FlowError> {
        let input = match &input {
            InputBuffer::Writable(buffer) => &**buffer,
            InputBuffer::Readable(buffer) => *buffer,
        };
        if self.obj().is_passthrough() {
            return Ok(PrepareOutputBufferSuccess::InputBuffer);
        }
        let sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (from, to) = sides.ok_or(gst::FlowError::NotNegotiated)?;
        let output = self.convert(input, &from, &to).ok_or_else(|| {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ["cannot convert {} to {}", from.info.format(), to.info.format()]
            );
            gst::FlowError::Error
        })?;
        Ok(PrepareOutputBufferSuccess::Buffer(output))
    }

    /// All was done when the buffer was made.
    fn transform(
        &self,
        _input: &gst::Buffer,
        _output: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        Ok(gst::FlowSuccess::Ok)
    }
}

impl Convert {
    /// The same pictures in the other side's memory, format and size, with the metadata.
    fn convert(&self, input: &gst::BufferRef, from: &Side, to: &Side) -> Option<gst::Buffer> {
        let method: Interpolation = self.store.typed(&*self.obj(), "interpolation-method");
        let filter = if method == Interpolation::Bilinear { Filter::Bilinear } else { Filter::Nearest };
        let format = format_of(to.info.format())?;
        let (width, height) = (to.info.width() as usize, to.info.height() as usize);
        let pictures: Vec<Picture> = if from.device {
            let mapped = Mapped::new(input)?;
            let filled = mapped.head().filled as usize;
            let views = (0..filled).map(|index| mapped.picture(index)).collect::<Option<Vec<_>>>()?;
            views.iter().map(|view| convert(view, format, width, height, filter)).collect::<Option<_>>()?
        } else {
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(input, &from.info).ok()?;
            vec![convert(&read(&frame)?.view(), format, width, height, filter)?]
        };
        let mut output = if to.device {
            let capacity = pictures.len();
            let mut buffer = gst::Buffer::new();
            buffer.get_mut()?.append_memory(nvmm::memory(
                pictures,
                capacity,
                self.store.typed(&*self.obj(), "gpu-id"),
                memory_type::CUDA_DEVICE,
            ));
            buffer
        } else {
            let mut buffer = gst::Buffer::with_size(to.info.size()).ok()?;
            {
                let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.get_mut()?, &to.info).ok()?;
                write(pictures.first()?, &mut frame)?;
            }
            buffer
        };
        let flags = gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::META;
        input.copy_into(output.get_mut()?, flags, ..).ok()?;
        Some(output)
    }
}
