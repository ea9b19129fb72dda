//! The pipeline that all sources of a model share: `source bins → nvstreammux → nvinfer → (nvtracker) → fakesink`.
//!
//! Sources come and go while it plays, in the order that DeepStream documents, one at a time, each step within a bound.
//! Where a pad of the mux cannot be let go of within its bound, the thread that tries is lost; the pad is never used
//! again, and [`Pipeline::is_worn`] says that the pipeline should be replaced. A pipeline that has failed or ended is
//! never used again.

mod bounded;
mod element;
mod error;
mod settings;
mod slots;
mod source_bin;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bounded::within;
use element::{make, set, set_if_there};
pub use error::PipelineError;
use gstreamer::{self as gst, glib, prelude::*};
use gstreamer_app as gst_app;
pub use settings::{Settings, Tracker};
pub use slots::SlotId;
use slots::Slots;
use source_bin::SourceBin;

use crate::{Epoch, Frame, Libraries, layout::Confirmation, nvinfer::COMPONENT};

/// A source bin starts and ends within this, or never.
const STEP: Duration = Duration::from_secs(2);
/// A pad of the mux is let go of within this, or never. All sources may stand still meanwhile.
const RELEASE: Duration = Duration::from_millis(500);
/// Ending a pipeline waits for a batch in the GPU.
const END: Duration = Duration::from_secs(5);
/// The rate that is assumed where a source does not tell its own.
const USUAL_FPS: f64 = 30.0;

/// What happens to a source. Every method is called in a thread of GStreamer, and must not wait.
pub trait SourceListener: Send + Sync + 'static {
    /// A picture presented at `pts` has been decoded; whether it is to be inferred. `size` finds out its size.
    fn decoded(&self, pts: Option<u64>, size: &dyn Fn() -> Option<(u32, u32)>) -> bool;

    /// A picture has been inferred. Boxes refer to a picture of this width and height.
    fn inferred(&self, frame: &Frame<'_>, width: u32, height: u32);

    /// Everything that was fed has been decoded.
    fn drained(&self);

    /// An element of the source failed.
    fn failed(&self, error: &glib::Error, debug: &str);
}

/// A source in the pipeline. Take it out with [`Pipeline::detach`].
#[derive(Debug)]
pub struct Attached {
    slot: SlotId,
    input: gst_app::AppSrc,
}

impl Attached {
    /// Feeds an encoded picture. Does not wait.
    ///
    /// # Errors
    /// Where the source's elements do not take any more.
    pub fn feed(&self, buffer: gst::Buffer) -> Result<(), gst::FlowError> {
        self.input.push_buffer(buffer).map(drop)
    }

    /// Nothing more will be fed; [`SourceListener::drained`] follows.
    pub fn finish(&self) {
        // A source that fails has said so already.
        let _ = self.input.end_of_stream();
    }
}

struct Source {
    listener: Arc<dyn SourceListener>,
    bin: gst::Bin,
    pad: gst::Pad,
    /// Frames per second, as the source tells.
    fps: f64,
}

/// What the pipeline's own threads share.
struct Shared {
    slots: Mutex<Slots<Source>>,
    failure: Mutex<Option<PipelineError>>,
    epoch: Mutex<Option<Epoch>>,
    settings: Settings,
    libraries: Libraries,
    created: Instant,
    /// When the last batch came by, in nanoseconds after `created`.
    last_batch_ns: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fail(&self, error: PipelineError) {
        lock(&self.failure).get_or_insert(error);
    }

    /// A batch comes by.
    fn batch(&self, buffer: &gst::BufferRef) {
        let elapsed = u64::try_from(self.created.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last_batch_ns.store(elapsed, Relaxed);
        let known = *lock(&self.epoch);
        let read = known.or_else(|| self.confirm(buffer)).and_then(|epoch| {
            self.libraries.with_batch(buffer, epoch, |batch| {
                for frame in batch.frames() {
                    self.frame(&frame);
                }
            })
        });
        if read.is_none() {
            self.fail(PipelineError::Failed { reason: "a batch has no metadata".to_owned() });
        }
    }

    /// What the first batch says of its layout; `None` where it contradicts what the version has.
    fn confirm(&self, buffer: &gst::BufferRef) -> Option<Epoch> {
        let expected = self.settings.epoch;
        let sizes = self.libraries.with_batch(buffer, expected, |batch| batch.pool_sizes())?;
        let epoch = match sizes.map(|sizes| expected.confirm(sizes)) {
            Some(Ok((epoch, Confirmation::Confirmed))) => epoch,
            Some(Ok((epoch, Confirmation::Silent { sizes }))) => {
                tracing::warn!(%epoch, ?sizes, "the pools of DeepStream's metadata say sizes of no known layout; reading on by the version");
                epoch
            }
            Some(Err(error)) => {
                self.fail(error.into());
                return None;
            }
            None => {
                tracing::warn!(epoch = %expected, "DeepStream's batch has no pools to tell its layout; reading on by the version");
                expected
            }
        };
        *lock(&self.epoch) = Some(epoch);
        Some(epoch)
    }

    fn frame(&self, frame: &Frame<'_>) {
        let listener = lock(&self.slots).at(frame.pad_index()).map(|(_, source)| Arc::clone(&source.listener));
        // The source has gone while its picture was on its way.
        let Some(listener) = listener else { return };
        let told = frame.pipeline_size().filter(|(width, height)| *width > 0 && *height > 0);
        let (width, height) = told.unwrap_or((self.settings.width, self.settings.height));
        listener.inferred(frame, width, height);
    }

    fn message(&self, message: &gst::MessageRef) {
        match message.view() {
            gst::MessageView::Error(error) => {
                let (problem, debug) = (error.error(), error.debug().unwrap_or_default());
                if let Some(listener) = message.src().and_then(|source| self.source_of(source)) {
                    listener.failed(&problem, &debug);
                } else {
                    let from = message.src().map(|source| source.name().to_string()).unwrap_or_default();
                    self.fail(PipelineError::Failed { reason: format!("{from}: {} ({debug})", problem.message()) });
                }
            }
            gst::MessageView::Eos(_) => {
                self.fail(PipelineError::Failed { reason: "it came to its end".to_owned() });
            }
            _ => {}
        }
    }

    /// The source whose bin `object` is in.
    fn source_of(&self, object: &gst::Object) -> Option<Arc<dyn SourceListener>> {
        let slots = lock(&self.slots);
        let mut at = Some(object.clone());
        while let Some(object) = at {
            let found = slots.taken().find(|source| source.bin.upcast_ref::<gst::Object>() == &object);
            if let Some(source) = found {
                return Some(Arc::clone(&source.listener));
            }
            at = object.parent();
        }
        None
    }
}

/// See the module.
pub struct Pipeline {
    shared: Arc<Shared>,
    playing: gst::Pipeline,
    mux: gst::Element,
    /// Only one source comes or goes at a time.
    control: Mutex<()>,
    /// The mux goes on without a source.
    survives_without_sources: bool,
}

impl Pipeline {
    /// Makes a pipeline and lets it play; waits for nvinfer to have loaded its model.
    ///
    /// # Errors
    /// Where an element is missing, or nvinfer does not take its configuration or its model.
    pub fn start(settings: Settings, libraries: Libraries) -> Result<Self, PipelineError> {
        let pipeline = gst::Pipeline::new();
        let mux = make("nvstreammux")?;
        set(&mux, "batch-size", &settings.capacity.to_string())?;
        set(&mux, "width", &settings.width.to_string())?;
        set(&mux, "height", &settings.height.to_string())?;
        set(&mux, "live-source", if settings.live { "true" } else { "false" })?;
        set(&mux, "gpu-id", &settings.gpu.to_string())?;
        set(&mux, "batched-push-timeout", &push_timeout(USUAL_FPS).to_string())?;
        if let Some(pool) = settings.buffer_pool {
            set_if_there(&mux, "buffer-pool-size", &pool.to_string())?;
        }
        if let Some(kind) = settings.memory_type {
            set_if_there(&mux, "nvbuf-memory-type", &kind.to_string())?;
        }
        let survives_without_sources = set_if_there(&mux, "drop-pipeline-eos", "true")?;

        let infer = make("nvinfer")?;
        set(&infer, "config-file-path", &settings.inference.display().to_string())?;
        set(&infer, "batch-size", &settings.inference_batch.to_string())?;
        set(&infer, "unique-id", &COMPONENT.to_string())?;
        let mut elements = vec![mux.clone()];
        if let Some(config) = &settings.preprocess {
            let preprocess = make("nvdspreprocess")?;
            set(&preprocess, "config-file", &config.display().to_string())?;
            set(&infer, "input-tensor-meta", "true")?;
            elements.push(preprocess);
        }
        elements.push(infer.clone());
        if let Some(tracker) = &settings.tracker {
            elements.push(tracker_element(tracker, settings.gpu)?);
        }
        let sink = make("fakesink")?;
        for property in ["sync", "async", "qos", "enable-last-sample"] {
            set(&sink, property, "false")?;
        }
        elements.push(sink.clone());
        let failed = |_| PipelineError::Build;
        pipeline.add_many(&elements).map_err(failed)?;
        gst::Element::link_many(&elements).map_err(failed)?;

        let shared = Arc::new(Shared {
            slots: Mutex::new(Slots::new(settings.capacity)),
            failure: Mutex::default(),
            epoch: Mutex::default(),
            libraries,
            created: Instant::now(),
            last_batch_ns: AtomicU64::new(0),
            settings,
        });
        let watched = Arc::clone(&shared);
        sink.static_pad("sink").ok_or(PipelineError::Build)?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                watched.batch(buffer);
            }
            gst::PadProbeReturn::Ok
        });
        if let Some(bus) = pipeline.bus() {
            let listening = Arc::clone(&shared);
            bus.set_sync_handler(move |_, message| {
                listening.message(message);
                gst::BusSyncReply::Drop
            });
        }
        let this = Self { shared, playing: pipeline, mux, control: Mutex::default(), survives_without_sources };
        this.play()?;
        Ok(this)
    }

    fn play(&self) -> Result<(), PipelineError> {
        let (pipeline, bound) = (self.playing.clone(), self.shared.settings.start_timeout);
        let played = within("deepstream-start", bound, move || pipeline.set_state(gst::State::Playing));
        let said = lock(&self.shared.failure).clone();
        match (played, said) {
            (None, _) => Err(PipelineError::Hangs { what: "loading the model in nvinfer", bound }),
            (Some(Ok(_)), None) => Ok(()),
            (_, Some(PipelineError::Failed { reason })) => Err(PipelineError::Start { reason }),
            (_, Some(error)) => Err(error),
            (Some(Err(_)), None) => {
                Err(PipelineError::Start { reason: "an element refuses, without a word".to_owned() })
            }
        }
    }

    /// Lets a source in that sends `caps`, about `fps` pictures a second.
    ///
    /// # Errors
    /// Where there is no place, the pipeline has failed, or a step hangs.
    pub fn attach(
        &self,
        caps: &gst::Caps,
        fps: Option<f64>,
        listener: Arc<dyn SourceListener>,
    ) -> Result<Attached, PipelineError> {
        let _one_at_a_time = lock(&self.control);
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let Settings { capacity, gpu, live, .. } = self.shared.settings;
        let full = PipelineError::Full { capacity };
        let name = format!("source-{}", glib::uuid_string_random());
        let SourceBin { bin, input, output } = SourceBin::new(&name, caps, gpu, live, &listener)?;
        // The bin's own pad stands for the mux's until that is known; nothing flows before.
        let source = Source { listener, bin: bin.clone(), pad: output.clone(), fps: fps.unwrap_or(USUAL_FPS) };
        let slot = lock(&self.shared.slots).take(source).ok_or(full)?;
        let (pipeline, mux, shared) = (self.playing.clone(), self.mux.clone(), Arc::clone(&self.shared));
        let added = bin.clone();
        let done = within("deepstream-attach", STEP, move || {
            pipeline.add(&added).map_err(|_| PipelineError::Build)?;
            let pad = mux.request_pad_simple(&format!("sink_{}", slot.pad)).ok_or(PipelineError::Build)?;
            shared.set_pad(slot, &pad);
            output.link(&pad).map_err(|_| PipelineError::Build)?;
            added.sync_state_with_parent().map_err(|_| PipelineError::Build)
        });
        let problem = match done {
            Some(Ok(())) => {
                self.retune();
                return Ok(Attached { slot, input });
            }
            Some(Err(error)) => error,
            None => PipelineError::Hangs { what: "adding a source to nvstreammux", bound: STEP },
        };
        let hangs = matches!(problem, PipelineError::Hangs { .. });
        if !hangs {
            let _ = bin.set_state(gst::State::Null);
            // It may not have been added.
            let _ = self.playing.remove(&bin);
        }
        lock(&self.shared.slots).release(slot, hangs);
        Err(problem)
    }

    /// Takes a source out. Where that hangs, its place is lost, and [`Self::is_worn`].
    ///
    /// # Errors
    /// Where it hangs.
    pub fn detach(&self, attached: &Attached) -> Result<(), PipelineError> {
        let _one_at_a_time = lock(&self.control);
        let slot = attached.slot;
        let parts = lock(&self.shared.slots).get(slot).map(|source| (source.bin.clone(), source.pad.clone()));
        let Some((bin, pad)) = parts else { return Ok(()) };
        let (pipeline, mux) = (self.playing.clone(), self.mux.clone());
        // The order of DeepStream's own sample: the source ends, the pad hears of it, is made to forget it, and goes.
        let ended = {
            let bin = bin.clone();
            within("deepstream-detach", STEP, move || {
                let _ = bin.set_state(gst::State::Null);
            })
        };
        let done = ended.and_then(|()| {
            within("deepstream-release", RELEASE, move || {
                pad.send_event(gst::event::Eos::new());
                pad.send_event(gst::event::FlushStop::new(false));
                mux.release_request_pad(&pad);
                drop(pipeline.remove(&bin));
            })
        });
        lock(&self.shared.slots).release(slot, done.is_none());
        if !self.survives_without_sources && lock(&self.shared.slots).taken().next().is_none() {
            self.shared.fail(PipelineError::Failed {
                reason: "its last source has gone, and with it the mux's life".to_owned(),
            });
        }
        self.retune();
        done.ok_or(PipelineError::Hangs { what: "letting go of a pad of nvstreammux", bound: RELEASE })
    }

    /// A batch waits for its pictures for as long as the fastest source takes to send the next.
    fn retune(&self) {
        let fastest = lock(&self.shared.slots).taken().map(|source| source.fps).fold(0.0, f64::max);
        if fastest > 0.0 {
            // It was set before, with another number.
            let _ = set(&self.mux, "batched-push-timeout", &push_timeout(fastest).to_string());
        }
    }

    /// It is not to be used any more, for `reason`.
    pub fn give_up(&self, reason: &str) {
        self.shared.fail(PipelineError::Failed { reason: reason.to_owned() });
    }

    /// Why it cannot be used any more; `None` while it can.
    #[must_use]
    pub fn failure(&self) -> Option<PipelineError> {
        lock(&self.shared.failure).clone()
    }

    /// Whether another one should take its place.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        lock(&self.shared.slots).poisoned() > 0 || self.failure().is_some()
    }

    /// How long no batch has come by.
    #[must_use]
    pub fn since_last_batch(&self) -> Duration {
        let last = Duration::from_nanos(self.shared.last_batch_ns.load(Relaxed));
        self.shared.created.elapsed().saturating_sub(last)
    }
}

impl Shared {
    fn set_pad(&self, slot: SlotId, pad: &gst::Pad) {
        if let Some(source) = lock(&self.slots).get_mut(slot) {
            source.pad = pad.clone();
        }
    }
}

impl Drop for Pipeline {
    /// Ends it. One that hangs somewhere is left to a thread of its own, which may never come back.
    fn drop(&mut self) {
        let bound = if self.is_worn() { Duration::ZERO } else { END };
        let pipeline = self.playing.clone();
        within("deepstream-end", bound, move || {
            let _ = pipeline.set_state(gst::State::Null);
            if let Some(bus) = pipeline.bus() {
                bus.unset_sync_handler();
            }
        });
    }
}

fn tracker_element(tracker: &Tracker, gpu: u32) -> Result<gst::Element, PipelineError> {
    let element = make("nvtracker")?;
    set(&element, "ll-lib-file", &tracker.library.display().to_string())?;
    set(&element, "ll-config-file", &tracker.config.display().to_string())?;
    set(&element, "tracker-width", &tracker.width.to_string())?;
    set(&element, "tracker-height", &tracker.height.to_string())?;
    set_if_there(&element, "gpu-id", &gpu.to_string())?;
    // Ids go on over a reconnection and begin anew with a new source.
    set_if_there(&element, "tracking-id-reset-mode", "0")?;
    Ok(element)
}

/// In microseconds.
fn push_timeout(fps: f64) -> u32 {
    (1e6 / fps.clamp(1.0, 240.0)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_as_long_as_the_fastest_source() {
        assert_eq!(push_timeout(30.0), 33_333);
        assert_eq!(push_timeout(0.1), 1_000_000, "a dead camera does not hold the others up for longer");
        assert_eq!(push_timeout(f64::INFINITY), 4_167);
    }
}
