//! The least that the same work can cost: the bare decoder on the same access units, and the model's run.

use std::{
    sync::Arc,
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
        Ok(Self { caps, units: recorded, received })
    }

    /// CPU time of the bare decoder, one thread, per access unit that was received.
    pub(super) fn decode(&self) -> Result<Duration, FloorError> {
        let Some(decoder) = self.decoder()? else { return Ok(Duration::ZERO) };
        let fail = |error: &dyn std::fmt::Display| FloorError::Decoder(error.to_string());
        let pipeline = gst::Pipeline::new();
        let feed = gst_app::AppSrc::builder().caps(&self.caps).format(gst::Format::Time).build();
        let sink =
            gst::ElementFactory::make("fakesink").property("sync", false).build().map_err(|error| fail(&error))?;
        let elements = [feed.upcast_ref(), &decoder, &sink];
        pipeline.add_many(elements).and_then(|()| gst::Element::link_many(elements)).map_err(|error| fail(&error))?;
        let bus = pipeline.bus().ok_or_else(|| FloorError::Decoder("the pipeline has no bus".to_owned()))?;

        let began = process_cpu();
        let outcome = pipeline.set_state(gst::State::Playing).map_err(|error| fail(&error)).and_then(|_| {
            for unit in &self.units {
                feed.push_buffer(unit.clone()).map_err(|error| fail(&error))?;
            }
            feed.end_of_stream().map_err(|error| fail(&error))?;
            let timeout = gst::ClockTime::try_from(DECODE_TIMEOUT).ok();
            match bus.timed_pop_filtered(timeout, &[gst::MessageType::Eos, gst::MessageType::Error]) {
                Some(message) => match message.view() {
                    gst::MessageView::Error(error) => Err(fail(&error.error())),
                    _ => Ok(()),
                },
                None => Err(FloorError::Decoder("it did not end in time".to_owned())),
            }
        });
        let spent = process_cpu().saturating_sub(began);
        pipeline.set_state(gst::State::Null).map_err(|error| fail(&error))?;
        outcome?;
        Ok(spent / u32::try_from(self.received.max(1)).unwrap_or(u32::MAX))
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
        let decoder =
            gst::ElementFactory::make(name).build().map_err(|error| FloorError::Decoder(error.to_string()))?;
        if decoder.find_property("max-threads").is_some() {
            decoder.set_property_from_str("max-threads", "1");
        }
        Ok(Some(decoder))
    }
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
