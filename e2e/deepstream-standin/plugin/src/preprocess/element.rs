//! The element.

use std::{
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, RegionView},
    list,
    version::current,
};
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_base::subclass::{BaseTransformMode, prelude::*};

use super::{
    attach,
    settings::{self, Settings},
};
use crate::{
    nvmm::{self, Mapped},
    picture::{Area, Filter, View, scale_to_rgb},
    placement::{Placement, place},
    properties::{Store, boolean, int, text, uint},
    runtime::table,
};

#[derive(Debug, Default)]
pub(crate) struct Preprocess {
    store: Store,
    settings: Mutex<Option<Settings>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Preprocess {
    const NAME: &'static str = "GstNvDsPreProcess";
    type Type = super::Preprocess;
    type ParentType = gstreamer_base::BaseTransform;
}

impl ObjectImpl for Preprocess {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                uint("unique-id", (0, u32::MAX), 15, false),
                boolean("enable", true, false),
                uint("gpu-id", (0, u32::MAX), 0, true),
                boolean("process-on-frame", true, true),
                int("operate-on-gie-id", (-1, i32::MAX), -1, true),
                text("target-unique-ids", Some(""), true),
                text("config-file", Some(""), true),
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

impl GstObjectImpl for Preprocess {}

impl ElementImpl for Preprocess {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "gst-nvdspreprocess plugin",
                "NvDsPreProcess Plugin",
                "Preprocessing using custom algorithms for different streams (stand-in)",
                "vision-operator",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(nvmm::in_place_templates);
        &TEMPLATES
    }
}

impl BaseTransformImpl for Preprocess {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let path: Option<String> = self.store.typed(&*self.obj(), "config-file");
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or_else(|| gst::error_msg!(gst::LibraryError::Settings, ["Configuration file not provided"]))?;
        let mut settings = settings::read(Path::new(&path)).map_err(|error| {
            gst::error_msg!(
                gst::LibraryError::Settings,
                ["Configuration file parsing failed. Config file path: {path}: {error}"]
            )
        })?;
        if self.store.is_set("enable") {
            settings.enable = self.store.typed(&*self.obj(), "enable");
        }
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let settings = settings.ok_or(gst::FlowError::Flushing)?;
        if settings.enable && current().at_least(6, 0) {
            prepare(&settings, buffer).ok_or_else(|| {
                gst::element_imp_error!(self, gst::StreamError::Failed, ["the buffer holds no batch of NVMM surfaces"]);
                gst::FlowError::Error
            })?;
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

/// Makes tensors of all frames and attaches them.
fn prepare(settings: &Settings, buffer: &mut gst::BufferRef) -> Option<()> {
    // SAFETY: the buffer is valid, and ours to change.
    let batch: *mut BatchMeta = unsafe { (table().gst_buffer_get_nvds_batch_meta)(buffer.as_mut_ptr()) };
    if batch.is_null() {
        return None;
    }
    let mapped = Mapped::new(buffer)?;
    let [most, _, height, width] = settings.shape.map(|size| size as usize);
    let mut values = Vec::new();
    let mut regions = Vec::new();
    let mut id = 0;
    // SAFETY: the batch of this buffer, which nobody else has.
    for frame in unsafe { list::items((*batch).frame_list) } {
        // SAFETY: a frame of the batch, of which the head is the same in all epochs.
        let (source, index) = unsafe {
            let head = &*frame.cast::<FrameHead>();
            (head.source_id as i32, head.batch_id as usize)
        };
        let Some(areas) = settings.sources.get(&source).or_else(|| settings.sources.get(&-1)) else { continue };
        let view = mapped.picture(index)?;
        let whole = [0, 0, view.width as u32, view.height as u32];
        for area in areas.as_deref().unwrap_or(&[whole]) {
            let area = clip(*area, &view);
            let fit = (settings.maintain_aspect_ratio, settings.symmetric_padding);
            let placement = place((area.width, area.height), (width, height), fit);
            convert(settings, &view, area, &placement, &mut values);
            regions.push(RegionView {
                area: [area.left as f32, area.top as f32, area.width as f32, area.height as f32],
                frame,
                scale: (placement.scale_x, placement.scale_y),
                offset: (placement.offset_left as f64, placement.offset_top as f64),
            });
            if regions.len() == most {
                // SAFETY: the batch of this buffer, which is ours to change.
                unsafe { attach::tensor(batch, settings, std::mem::take(&mut values), &regions, id) };
                regions.clear();
                id += 1;
            }
        }
    }
    if !regions.is_empty() {
        // SAFETY: the batch of this buffer, which is ours to change.
        unsafe { attach::tensor(batch, settings, values, &regions, id) };
    }
    Some(())
}

/// The even part of a region that lies in the picture.
fn clip([left, top, width, height]: [u32; 4], view: &View<'_>) -> Area {
    let (left, top) = (((left as usize) & !1).min(view.width), ((top as usize) & !1).min(view.height));
    Area {
        left,
        top,
        width: (width as usize).min(view.width - left) & !1,
        height: (height as usize).min(view.height - top) & !1,
    }
}

/// Appends the tensor of one region.
fn convert(settings: &Settings, view: &View<'_>, area: Area, placement: &Placement, values: &mut Vec<f32>) {
    let [_, _, height, width] = settings.shape.map(|size| size as usize);
    let mut canvas = vec![0; 3 * width * height];
    let target = Area {
        left: placement.offset_left,
        top: placement.offset_top,
        width: placement.width,
        height: placement.height,
    };
    let filter = if settings.bilinear { Filter::Bilinear } else { Filter::Nearest };
    scale_to_rgb(view, area, &mut canvas, width * 3, target, filter);
    let begin = values.len();
    let plane = width * height;
    values.resize(begin + 3 * plane, 0.0);
    for (index, pixel) in canvas.chunks_exact(3).enumerate() {
        for channel in 0..3 {
            let byte = if settings.bgr { pixel[2 - channel] } else { pixel[channel] };
            let offset = settings.offsets.get(channel).copied().unwrap_or(0.0);
            let place = if settings.nhwc { index * 3 + channel } else { channel * plane + index };
            values[begin + place] = settings.scale * (f32::from(byte) - offset);
        }
    }
}
