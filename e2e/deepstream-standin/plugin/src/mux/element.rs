//! The element: pads, the thread that forms batches, and what happens where a rule is broken.

use std::{
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deepstream_standin::version::current;
use gstreamer::{self as gst, glib, glib::translate::from_glib_full, prelude::*, subclass::prelude::*};
use gstreamer_video as gst_video;

use super::{
    BufferMemory, CAT, ComputeHardware, Interpolation,
    batch::{self, Settings},
    state::{Queued, Source, State, Step},
};
use crate::{
    nvmm,
    picture::Filter,
    properties::{Store, boolean, choice, int, uint, uint64},
    runtime::table,
};

/// A batch may hold so many frames.
const MAX_BATCH: u32 = 1024;

/// A custom event by one of the functions of the helper library.
fn event(pointer: *mut gst::ffi::GstEvent) -> gst::Event {
    // SAFETY: the function gives a new event, which nobody else has.
    unsafe { from_glib_full(pointer) }
}

#[derive(Debug)]
pub(crate) struct StreamMux {
    store: Store,
    source: gst::Pad,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[glib::object_subclass]
impl ObjectSubclass for StreamMux {
    const NAME: &'static str = "GstNvStreamMux";
    type Type = super::StreamMux;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let source = class.pad_template("src").map_or_else(
            || gst::Pad::builder(gst::PadDirection::Src),
            |template| gst::Pad::builder_from_template(&template),
        );
        let source = source
            .name("src")
            .activatemode_function(|pad, parent, _mode, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "panicked")),
                    |imp| imp.activate(pad, active),
                )
            })
            .build();
        Self { store: Store::default(), source, state: Mutex::default(), changed: Condvar::new() }
    }
}

impl ObjectImpl for StreamMux {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let version = current();
            let mut properties = vec![
                uint("batch-size", (0, MAX_BATCH), 0, false),
                int("batched-push-timeout", (-1, i32::MAX), -1, false),
                uint("width", (0, u32::MAX), 0, false),
                uint("height", (0, u32::MAX), 0, false),
                boolean("enable-padding", false, false),
                uint("gpu-id", (0, u32::MAX), 0, false),
                boolean("live-source", false, false),
                choice("nvbuf-memory-type", BufferMemory::Default, true),
                uint("num-surfaces-per-frame", (1, 4), 1, false),
                uint("buffer-pool-size", (4, MAX_BATCH), 4, false),
                boolean("attach-sys-ts", true, false),
                choice("interpolation-method", Interpolation::Bilinear, false),
                choice("compute-hw", ComputeHardware::Default, false),
            ];
            if version.at_least(5, 1) {
                properties.push(boolean("sync-inputs", false, false));
                properties.push(if version.at_least(8, 0) {
                    uint64("max-latency", 0)
                } else {
                    uint("max-latency", (0, u32::MAX), 0, false)
                });
            }
            if version.at_least(6, 0) {
                properties.push(boolean("frame-num-reset-on-eos", false, false));
                properties.push(boolean("frame-num-reset-on-stream-reset", false, false));
                properties.push(uint64("frame-duration", u64::MAX / 1_000_000));
                properties.push(boolean("async-process", true, false));
            }
            if version.at_least(6, 2) {
                properties.push(boolean("drop-pipeline-eos", false, false));
            }
            if version.at_least(8, 0) {
                properties.push(boolean("extract-sei-type5-data", false, false));
            }
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        self.store.set(self.obj().upcast_ref(), spec, value);
        self.changed.notify_all();
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        self.store.get(spec)
    }

    fn constructed(&self) {
        self.parent_constructed();
        let added = self.obj().add_pad(&self.source);
        debug_assert!(added.is_ok(), "a new element takes a pad");
    }
}

impl GstObjectImpl for StreamMux {}

impl ElementImpl for StreamMux {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Stream multiplexer",
                "Generic",
                "N-to-1 pipe stream multiplexing (stand-in)",
                "vision-operator",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new()
                .features([nvmm::FEATURE])
                .format_list([gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Rgba, gst_video::VideoFormat::I420])
                .build();
            [
                ("sink_%u", gst::PadDirection::Sink, gst::PadPresence::Request),
                ("src", gst::PadDirection::Src, gst::PadPresence::Always),
            ]
            .into_iter()
            .filter_map(|(name, direction, presence)| gst::PadTemplate::new(name, direction, presence, &caps).ok())
            .collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let mut state = self.state();
        let id = match name {
            Some(name) => name.strip_prefix("sink_")?.parse().ok()?,
            None => (0..=u32::MAX).find(|id| !state.sources.contains_key(id))?,
        };
        if state.sources.contains_key(&id) {
            gst::error!(CAT, imp = self, "there is a pad sink_{id} already");
            return None;
        }
        state.sources.insert(id, Source::default());
        drop(state);
        let pad = gst::Pad::builder_from_template(template)
            .name(format!("sink_{id}"))
            .chain_function(move |pad, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.chain(pad, id, buffer))
            })
            .event_function(move |pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_event(pad, id, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_query(pad, query))
            })
            .build();
        // The pads of a running element have to be active before anything arrives.
        pad.set_active(true).ok()?;
        self.obj().add_pad(&pad).ok()?;
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let Some(id) = pad.name().strip_prefix("sink_").and_then(|id| id.parse().ok()) else { return };
        self.wait_until_releasable(id);
        // Nothing streams any more, so nothing can refuse.
        let _ = pad.set_active(false);
        let mut state = self.state();
        // Of a source that never was downstream nothing is told.
        if state.sources.remove(&id).is_some_and(|source| source.announced) {
            // SAFETY: the function takes a number.
            state.events.push_back(event(unsafe { (table().gst_nvevent_new_pad_deleted)(id) }));
        }
        drop(state);
        self.changed.notify_all();
        let removed = self.obj().remove_pad(pad);
        debug_assert!(removed.is_ok(), "only pads of this element are released");
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            self.check_settings()?;
        }
        if transition == gst::StateChange::ReadyToPaused {
            let mut state = self.state();
            if !current().at_least(8, 0) {
                state.over = false;
            }
            state.started = false;
        }
        self.parent_change_state(transition)
    }
}

impl StreamMux {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn number(&self, name: &str) -> usize {
        self.store.typed::<u32>(&*self.obj(), name) as usize
    }

    /// What has to be set, and what this stand-in cannot do.
    fn check_settings(&self) -> Result<(), gst::StateChangeError> {
        for name in ["batch-size", "width", "height"] {
            if self.number(name) == 0 {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ["{name} of nvstreammux is not set"]);
                return Err(gst::StateChangeError);
            }
        }
        let method: Interpolation = self.store.typed(&*self.obj(), "interpolation-method");
        if !matches!(method, Interpolation::Nearest | Interpolation::Bilinear | Interpolation::Default) {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Settings,
                ["the stand-in scales by Nearest and Bilinear, not by {method:?} (interpolation-method)"]
            );
            return Err(gst::StateChangeError);
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let element = self.obj();
        let memory: BufferMemory = self.store.typed(&*element, "nvbuf-memory-type");
        let method: Interpolation = self.store.typed(&*element, "interpolation-method");
        Settings {
            batch_size: self.number("batch-size"),
            width: self.number("width"),
            height: self.number("height"),
            padding: self.store.typed(&*element, "enable-padding"),
            filter: if method == Interpolation::Bilinear { Filter::Bilinear } else { Filter::Nearest },
            gpu_id: self.store.typed(&*element, "gpu-id"),
            memory_type: memory as i32,
            system_time: self.store.typed(&*element, "attach-sys-ts"),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let microseconds: i32 = self.store.typed(&*self.obj(), "batched-push-timeout");
        u64::try_from(microseconds).ok().map(Duration::from_micros)
    }

    fn activate(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        self.state().running = active;
        self.changed.notify_all();
        if active {
            let element = self.obj().downgrade();
            pad.start_task(move || {
                if let Some(element) = element.upgrade() {
                    element.imp().turn();
                }
            })?;
        } else {
            pad.stop_task()?;
        }
        Ok(())
    }

    /// One turn of the thread that forms batches.
    fn turn(&self) {
        let settings = self.settings();
        let timeout = self.timeout();
        let drop_end: bool = self.store.typed(&*self.obj(), "drop-pipeline-eos");
        let mut state = self.state();
        if !state.running {
            return;
        }
        let events: Vec<_> = state.events.drain(..).collect();
        if !events.is_empty() && state.started {
            drop(state);
            for event in events {
                self.source.push_event(event);
            }
            return;
        }
        state.events.extend(events);
        match state.step(Instant::now(), settings.batch_size, timeout, drop_end) {
            Step::Wait(until) => {
                let wait = until.map_or(Duration::from_millis(500), |until| until - Instant::now());
                // Whatever wakes this thread, the next turn looks again.
                drop(self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner));
            }
            Step::Push => {
                let frames = state.take_batch(settings.batch_size);
                let begin = !std::mem::replace(&mut state.started, true);
                let mut announce = Vec::new();
                for (id, ..) in &frames {
                    if let Some(source) = state.sources.get_mut(id)
                        && !std::mem::replace(&mut source.announced, true)
                    {
                        announce.push((*id, source.segment.clone()));
                    }
                }
                drop(state);
                self.changed.notify_all();
                if begin {
                    self.begin(&settings, &frames);
                }
                for (id, segment) in announce {
                    self.announce(id, &segment);
                }
                self.push(&frames, &settings);
            }
            Step::TellEnd(id) => {
                drop(state);
                self.tell_end(id);
            }
            Step::End => {
                state.over = true;
                drop(state);
                gst::info!(CAT, imp = self, "all sources have ended");
                self.source.push_event(gst::event::Eos::new());
            }
        }
    }

    fn begin(&self, settings: &Settings, frames: &[(u32, i32, Queued)]) {
        let fps = frames.first().and_then(|(.., queued)| queued.info.as_ref().map(gst_video::VideoInfo::fps));
        let format = frames.first().and_then(|(.., queued)| queued.info.as_ref().map(gst_video::VideoInfo::format));
        let caps = gst::Caps::builder("video/x-raw")
            .features([nvmm::FEATURE])
            .field("format", format.unwrap_or(gst_video::VideoFormat::Nv12).to_str())
            .field("width", settings.width as i32)
            .field("height", settings.height as i32)
            .field("framerate", fps.unwrap_or_else(|| gst::Fraction::new(0, 1)))
            .field("batch-size", settings.batch_size as i32)
            .field("num-surfaces-per-frame", 1)
            .build();
        let id = format!("nvstreammux/{}", self.obj().name());
        self.source.push_event(gst::event::StreamStart::new(&id));
        self.source.push_event(gst::event::Caps::new(&caps));
        self.source.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    }

    /// Tells of a source before its first frame.
    fn announce(&self, id: u32, _segment: &gst::FormattedSegment<gst::ClockTime>) {
        let table = table();
        // SAFETY: the functions take numbers and a text, which they copy.
        unsafe {
            self.source.push_event(event((table.gst_nvevent_new_pad_added)(id)));
            if current().at_least(6, 1) {
                let stream = glib::GString::from(format!("stream-{id}"));
                self.source.push_event(event((table.gst_nvevent_new_stream_start)(id, stream.as_ptr().cast_mut())));
            }
        }
    }

    fn tell_end(&self, id: u32) {
        let table = table();
        let element = self.obj();
        // SAFETY: the functions take a number and, for the message, the object that it is from.
        unsafe {
            self.source.push_event(event((table.gst_nvevent_new_stream_eos)(id)));
            let object = element.upcast_ref::<gst::Object>().as_ptr();
            let message: gst::Message = from_glib_full((table.gst_nvmessage_new_stream_eos)(object, id));
            // Only fails while the bus is flushed.
            let _ = element.post_message(message);
        }
        if self.store.typed(&*element, "frame-num-reset-on-eos")
            && let Some(source) = self.state().sources.get_mut(&id)
        {
            source.frames = 0;
        }
    }

    fn push(&self, frames: &[(u32, i32, Queued)], settings: &Settings) {
        let result = match batch::make(frames, settings) {
            Ok(buffer) => self.source.push(buffer),
            Err(error) => {
                gst::element_imp_error!(self, gst::StreamError::Failed, ["{error}"]);
                Err(gst::FlowError::Error)
            }
        };
        match result {
            Ok(_) | Err(gst::FlowError::Flushing | gst::FlowError::Eos) => {}
            Err(error) => {
                gst::error!(CAT, imp = self, "downstream says {error}");
                if matches!(error, gst::FlowError::NotLinked | gst::FlowError::NotNegotiated) {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ["streaming stopped, reason {error}"]);
                }
                self.state().running = false;
                let _ = self.source.pause_task();
            }
        }
    }
}
