//! The least that the same work can cost: the bare decoder on the same access units, and the model's run.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::{
    model::{InferenceError, Model},
    source::{self, Failure, Input, Next, Pacing},
    telemetry::{StreamTelemetry, process_cpu, thread_cpu},
};

/// Video recorded for the floor: seconds at the most.
const RECORDED: Duration = Duration::from_secs(2);

/// Access units recorded at the most: the whole of a short clip, whose parts differ in what they cost.
const RECORDED_UNITS: usize = 600;

/// How long the first access unit may take.
const FIRST_UNIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the bare decoder may take for what was recorded.
const DECODE_TIMEOUT: Duration = Duration::from_mins(1);

/// A floor that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The source gave nothing to decode.
    #[error("the floor cannot be measured: {0}")]
    Source(#[from] Failure),
    /// The bare decoder failed.
    #[error("the floor cannot be measured: the bare decoder failed: {0}")]
    Decoder(String),
    /// The model failed.
    #[error("the floor cannot be measured: {0}")]
    Model(#[from] InferenceError),
}

/// Some seconds of one source, as it came.
pub(super) struct Recording {
    caps: gst::Caps,
    units: Vec<gst::Buffer>,
    /// Access units recorded, those that were then left out included.
    received: usize,
    /// Where every frame of a file is wanted: reading and parsing it is part of the floor, as it is part of the load.
    file: Option<PathBuf>,
}

impl Recording {
    /// Records `input`. With `referenced_only`, access units that nothing refers to are left out.
    pub(super) fn of(input: &Input, pacing: Pacing, referenced_only: bool) -> Result<Self, FloorError> {
        let mut units = source::open(input, pacing, &Arc::new(StreamTelemetry::default()))?;
        let mut caps = None;
        let mut recorded = Vec::new();
        let mut received = 0;
        let mut end = Instant::now() + FIRST_UNIT_TIMEOUT;
        while Instant::now() < end && received < RECORDED_UNITS {
            match units.next(Duration::from_millis(100))? {
                Next::Format(format) if caps.is_none() => caps = Some(format),
                Next::Unit(unit) => {
                    if received == 0 {
                        end = Instant::now() + RECORDED;
                    }
                    received += 1;
                    if unit.key_frame || !(referenced_only && unit.disposable) {
                        recorded.push(unit.buffer);
                    }
                }
                Next::Idle => {}
                // The recording is of one format; what follows a change needs another decoder.
                Next::Format(_) | Next::Ended => break,
            }
        }
        let caps = caps.ok_or_else(|| FloorError::Decoder("the source gave no video".to_owned()))?;
        let file = if referenced_only { None } else { input.uri.to_file_path().ok() };
        Ok(Self { caps, units: recorded, received, file })
    }

    /// CPU time of the bare decoder, one thread, per access unit that was received.
    pub(super) fn decode(&self) -> Result<Duration, FloorError> {
        let Some(decoder) = self.decoder()? else { return Ok(Duration::ZERO) };
        let sink = gst::ElementFactory::make("fakesink").property("sync", false).build().map_err(failed)?;
        match &self.file {
            Some(path) => Self::decode_file(path, &decoder, &sink),
            None => self.decode_units(&decoder, &sink),
        }
    }

    fn decode_units(&self, decoder: &gst::Element, sink: &gst::Element) -> Result<Duration, FloorError> {
        let pipeline = gst::Pipeline::new();
        let feed = gst_app::AppSrc::builder().caps(&self.caps).format(gst::Format::Time).build();
        let elements = [feed.upcast_ref(), decoder, sink];
        pipeline.add_many(elements).and_then(|()| gst::Element::link_many(elements)).map_err(failed)?;
        let spent = cpu_to_the_end(&pipeline, || {
            for unit in &self.units {
                feed.push_buffer(unit.clone()).map_err(failed)?;
            }
            feed.end_of_stream().map(|_| ()).map_err(failed)
        })?;
        Ok(spent / u32::try_from(self.received.max(1)).unwrap_or(u32::MAX))
    }

    fn decode_file(path: &Path, decoder: &gst::Element, sink: &gst::Element) -> Result<Duration, FloorError> {
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("filesrc").property("location", path).build().map_err(failed)?;
        let parser = gst::ElementFactory::make("parsebin").build().map_err(failed)?;
        let elements = [&source, &parser, decoder, sink];
        pipeline.add_many(elements).map_err(failed)?;
        source.link(&parser).and_then(|()| decoder.link(sink)).map_err(failed)?;
        let entry = decoder.static_pad("sink").ok_or_else(|| failed("the decoder has no input"))?;
        parser.connect_pad_added(move |_, pad| {
            // Sound and further streams stay unread; they may not hold up the first.
            if pad.link(&entry).is_err() {
                tracing::debug!(pad = %pad.name(), "the floor leaves this stream out");
            }
        });
        let frames = Arc::new(AtomicU32::new(0));
        let exit = decoder.static_pad("src").ok_or_else(|| failed("the decoder has no output"))?;
        let counted = Arc::clone(&frames);
        exit.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            counted.fetch_add(1, Relaxed);
            gst::PadProbeReturn::Ok
        });
        sink.set_property("num-buffers", i32::try_from(RECORDED_UNITS).unwrap_or(i32::MAX));
        let spent = cpu_to_the_end(&pipeline, || Ok(()))?;
        Ok(spent / frames.load(Relaxed).max(1))
    }

    /// The usual CPU decoder; `None` for pictures that need none.
    fn decoder(&self) -> Result<Option<gst::Element>, FloorError> {
        let format = self.caps.structure(0).map(|structure| structure.name().to_string()).unwrap_or_default();
        let name = match format.as_str() {
            "video/x-h264" => "avdec_h264",
            "video/x-h265" => "avdec_h265",
            "image/jpeg" => "jpegdec",
            "video/x-raw" => return Ok(None),
            _ => return Err(FloorError::Decoder(format!("there is no bare decoder for {format}"))),
        };
        let decoder = gst::ElementFactory::make(name).build().map_err(failed)?;
        if decoder.find_property("max-threads").is_some() {
            decoder.set_property_from_str("max-threads", "1");
        }
        Ok(Some(decoder))
    }
}

fn failed(error: impl std::fmt::Display) -> FloorError {
    FloorError::Decoder(error.to_string())
}

/// CPU time of this process from the start of `pipeline`, and of `feed`, to its end of stream.
fn cpu_to_the_end(
    pipeline: &gst::Pipeline,
    feed: impl FnOnce() -> Result<(), FloorError>,
) -> Result<Duration, FloorError> {
    let bus = pipeline.bus().ok_or_else(|| failed("the pipeline has no bus"))?;
    let began = process_cpu();
    let outcome = pipeline.set_state(gst::State::Playing).map_err(failed).and_then(|_| feed()).and_then(|()| {
        let timeout = gst::ClockTime::try_from(DECODE_TIMEOUT).ok();
        match bus.timed_pop_filtered(timeout, &[gst::MessageType::Eos, gst::MessageType::Error]) {
            Some(message) => match message.view() {
                gst::MessageView::Error(error) => Err(failed(error.error())),
                _ => Ok(()),
            },
            None => Err(failed("it did not end in time")),
        }
    });
    let spent = process_cpu().saturating_sub(began);
    pipeline.set_state(gst::State::Null).map_err(failed)?;
    outcome.map(|()| spent)
}

/// CPU time of one run of `model` on one thread, the mean of `runs`.
pub(super) fn inference(model: &Arc<Model>, runs: u32) -> Result<Duration, FloorError> {
    let mut session = model.session()?;
    let input = &session.info().input;
    let placement = input.place(input.width, input.height);
    let thresholds = session.info().thresholds.clone();
    let mut spent = Duration::ZERO;
    for _ in 0..runs.max(1) {
        let began = thread_cpu();
        let output = session.run(&[(placement, thresholds.clone())])?;
        spent += thread_cpu().saturating_sub(began + output.post_processing);
    }
    Ok(spent / runs.max(1))
}
