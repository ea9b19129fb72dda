//! The element.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, frame_view, object_view},
    list,
    version::{current, epoch},
};
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_base::subclass::{BaseTransformMode, prelude::*};

use super::{
    CAT,
    tracks::{Found, Settings, Tracks},
};
use crate::{
    mux::ComputeHardware,
    nvmm,
    properties::{Store, boolean, choice, text, uint},
    runtime::{event, event_number, source_of, table},
};

/// What the low-level library says of an object that it only predicts.
const PREDICTED_CONFIDENCE: f32 = -0.1;

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    store: Store,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    settings: Settings,
    reset_mode: u32,
    sources: HashMap<u32, Tracks>,
    /// Where a source that comes again goes on counting.
    next: HashMap<u32, u64>,
}

#[glib::object_subclass]
impl ObjectSubclass for Tracker {
    const NAME: &'static str = "GstNvTracker";
    type Type = super::Tracker;
    type ParentType = gstreamer_base::BaseTransform;
}

impl ObjectImpl for Tracker {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let version = current();
            let mut properties = vec![
                uint("tracker-width", (0, u32::MAX), 960, true),
                uint("tracker-height", (0, u32::MAX), 544, true),
                uint("gpu-id", (0, u32::MAX), 0, true),
                text("ll-lib-file", None, true),
                text("ll-config-file", None, true),
                uint("tracking-surface-type", (0, u32::MAX), 0, true),
                boolean("display-tracking-id", true, false),
            ];
            if version.at_least(6, 3) {
                properties.push(uint(
                    "user-meta-pool-size",
                    (1, u32::MAX),
                    if version.major < 8 { 16 } else { 32 },
                    true,
                ));
            } else {
                properties.push(boolean("enable-batch-process", true, true));
                properties.push(boolean("enable-past-frame", false, true));
            }
            if version.at_least(5, 1) {
                let default = u32::from(version.major < 8);
                properties.push(uint("tracking-id-reset-mode", (0, 3), default, true));
            }
            if version.at_least(6, 0) {
                properties.push(choice("compute-hw", ComputeHardware::Default, true));
            }
            if version.at_least(6, 2) {
                properties.push(boolean("input-tensor-meta", false, true));
                properties.push(uint("tensor-meta-gie-id", (0, u32::MAX), 0, true));
            }
            if version.at_least(6, 4) {
                properties.push(text("sub-batches", None, true));
                properties.push(uint("sub-batch-err-recovery-trial-cnt", (0, u32::MAX), 0, true));
            }
            if version.at_least(9, 1) {
                properties.push(text("operate-on-class-ids", None, true));
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

impl GstObjectImpl for Tracker {}

impl ElementImpl for Tracker {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "NvTracker plugin",
                "Video/Tracker",
                "Gstreamer object tracking element (stand-in)",
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

impl BaseTransformImpl for Tracker {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let element = self.obj();
        let failed =
            |message: String| gst::error_msg!(gst::LibraryError::Failed, ["Failed to initialize tracker: {message}"]);
        for name in ["tracker-width", "tracker-height"] {
            let size: u32 = self.store.typed(&*element, name);
            if size == 0 || !size.is_multiple_of(32) {
                return Err(failed(format!("{name} is {size}, which is no multiple of 32")));
            }
        }
        let file = |name: &str| {
            let path: Option<String> = self.store.typed(&*element, name);
            path.filter(|path| !path.is_empty()).ok_or_else(|| failed(format!("{name} is not set")))
        };
        let library = file("ll-lib-file")?;
        if !Path::new(&library).is_file() {
            return Err(failed(format!("Failed to open low-level lib at {library}: no such file")));
        }
        let path = file("ll-config-file")?;
        let text = fs::read_to_string(&path).map_err(|error| failed(format!("ll-config-file {path}: {error}")))?;
        let settings = Settings::parse(&text).map_err(|error| failed(format!("ll-config-file {path}: {error}")))?;
        let reset_mode = self.store.typed(&*element, "tracking-id-reset-mode");
        *self.running() = Some(Running { settings, reset_mode, sources: HashMap::new(), next: HashMap::new() });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.running() = None;
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let Some(running) = &mut *self.running() {
            match event_number(&event) {
                event::PAD_ADDED => {
                    let source = source_of(&event);
                    let next = running.next.get(&source).copied().unwrap_or(0);
                    running.sources.insert(source, Tracks::from(next));
                }
                event::PAD_DELETED => {
                    let source = source_of(&event);
                    if let Some(tracks) = running.sources.remove(&source) {
                        running.next.insert(source, tracks.next_id());
                    }
                }
                event::STREAM_EOS if running.reset_mode & 2 != 0 => running.begin(source_of(&event), true),
                event::STREAM_RESET if running.reset_mode & 1 != 0 => running.begin(source_of(&event), false),
                _ => {}
            }
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        // SAFETY: the buffer is valid, and ours to change.
        let batch: *mut BatchMeta = unsafe { (table().gst_buffer_get_nvds_batch_meta)(buffer.as_mut_ptr()) };
        if batch.is_null() {
            gst::element_imp_error!(self, gst::StreamError::Failed, ["NvDsBatchMeta not found for input buffer."]);
            return Err(gst::FlowError::Error);
        }
        let mut running = self.running();
        let running = running.as_mut().ok_or(gst::FlowError::Flushing)?;
        // SAFETY: the batch of this buffer, which nobody else has.
        for frame in unsafe { list::items((*batch).frame_list) } {
            // SAFETY: a frame of the batch.
            unsafe { self.track(running, batch, frame.cast()) };
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl Running {
    /// Forgets a source's tracks; its next ones count on, or from zero.
    fn begin(&mut self, source: u32, from_zero: bool) {
        if let Some(tracks) = self.sources.get_mut(&source) {
            *tracks = Tracks::from(if from_zero { 0 } else { tracks.next_id() });
        }
    }
}

impl Tracker {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Safety
    /// `frame` must be a frame of `batch`, which the caller may write to.
    unsafe fn track(&self, running: &mut Running, batch: *mut BatchMeta, frame: *mut FrameHead) {
        // SAFETY: as the caller warrants.
        let head = unsafe { frame_view(epoch(), frame.cast()) }.head;
        let Some(tracks) = running.sources.get_mut(&head.source_id) else {
            gst::warning!(CAT, imp = self, "source {} was never added", head.source_id);
            return;
        };
        if head.infer_done == 0 {
            for (id, found) in tracks.predicted(running.settings) {
                // SAFETY: as the caller warrants; the functions get what the headers ask for.
                unsafe {
                    let object = (table().nvds_acquire_obj_meta_from_pool)(batch);
                    let view = object_view(epoch(), object);
                    view.head.class_id = found.class;
                    view.head.object_id = id;
                    *view.confidence = PREDICTED_CONFIDENCE;
                    let [left, top, width, height] = found.area;
                    (view.rect.left, view.rect.top, view.rect.width, view.rect.height) = (left, top, width, height);
                    if let Some((_, tracker_box, confidence)) = view.boxes {
                        *tracker_box = found.area;
                        *confidence = 1.0;
                    }
                    (table().nvds_add_obj_meta_to_frame)(frame, object, std::ptr::null_mut());
                }
            }
            return;
        }
        // SAFETY: the frame's own list.
        let objects = unsafe { list::items(head.object_list) };
        let found: Vec<_> = objects
            .iter()
            .map(|object| {
                // SAFETY: an object of the frame.
                let view = unsafe { object_view(epoch(), *object) };
                let area = [view.rect.left, view.rect.top, view.rect.width, view.rect.height];
                Found { class: view.head.class_id, area }
            })
            .collect();
        for ((object, found), id) in objects.iter().zip(&found).zip(tracks.update(&found, running.settings)) {
            // SAFETY: an object of the frame.
            let view = unsafe { object_view(epoch(), *object) };
            if let Some(id) = id {
                view.head.object_id = id;
                if let Some((_, tracker_box, confidence)) = view.boxes {
                    *tracker_box = found.area;
                    *confidence = 1.0;
                }
            }
        }
    }
}
