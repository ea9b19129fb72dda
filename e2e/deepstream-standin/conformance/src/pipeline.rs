//! Pipelines that end by themselves or are ended.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};
use serde_json::{Value, json};

use crate::reading;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// One line of what happened.
#[allow(clippy::needless_pass_by_value, reason = "every caller makes the value for this")]
pub(crate) fn say(what: &str, value: Value) {
    println!("{}", json!({ "what": what, "value": value }));
}

/// A running pipeline.
pub(crate) struct Pipeline {
    pub(crate) bin: gst::Pipeline,
    pub(crate) frames: Arc<Mutex<Vec<Value>>>,
    pub(crate) buffers: Arc<AtomicUsize>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    Eos,
    Error(String),
    TimedOut,
}

impl Pipeline {
    /// Of a description with a sink called `sink`, whose frames are read.
    pub(crate) fn new(description: &str) -> Self {
        let pipeline = gst::parse::launch(description)
            .unwrap_or_else(|error| panic!("{description}: {error}"))
            .downcast::<gst::Pipeline>()
            .expect("a pipeline");
        let frames = Arc::new(Mutex::new(Vec::new()));
        let buffers = Arc::new(AtomicUsize::new(0));
        if let Some(sink) = pipeline.by_name("sink") {
            let (frames, buffers) = (frames.clone(), buffers.clone());
            let pad = sink.static_pad("sink").expect("a sink has a pad");
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(buffer) = info.buffer() {
                    buffers.fetch_add(1, Ordering::SeqCst);
                    if !reading::batch_of(buffer).is_null() {
                        frames.lock().unwrap().extend(reading::frames(buffer));
                    }
                }
                gst::PadProbeReturn::Ok
            });
        }
        Self { bin: pipeline, frames, buffers }
    }

    pub(crate) fn play(&self) -> Result<(), gst::StateChangeError> {
        self.bin.set_state(gst::State::Playing).map(drop)
    }

    /// The first error on the bus, if there is one by now.
    pub(crate) fn error(&self) -> Option<String> {
        let message = self.bin.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(error) = message.view() else { return None };
        Some(format!("{} ({})", error.error(), error.debug().unwrap_or_default()))
    }

    /// Waits for the end or an error, and tells of warnings and of ends of single streams.
    pub(crate) fn wait(&self, patience: Duration) -> End {
        let bus = self.bin.bus().expect("a pipeline has a bus");
        let deadline = std::time::Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let timeout = gst::ClockTime::try_from(left).unwrap();
            let Some(message) = bus.timed_pop(timeout) else { return End::TimedOut };
            match message.view() {
                gst::MessageView::Eos(_) => return End::Eos,
                gst::MessageView::Error(error) => {
                    return End::Error(format!("{} ({})", error.error(), error.debug().unwrap_or_default()));
                }
                gst::MessageView::Warning(warning) => {
                    say("warning", json!(format!("{} ({})", warning.error(), warning.debug().unwrap_or_default())));
                }
                gst::MessageView::Element(element)
                    if element.structure().is_some_and(|structure| structure.name() == "stream-eos") =>
                {
                    say("stream-eos", json!(element.structure().unwrap().get::<u32>("stream-id").unwrap()));
                }
                _ => {}
            }
        }
    }

    /// Plays to the end and tells how it ended and what was seen.
    pub(crate) fn run(&self) {
        let end = match self.play() {
            Ok(()) => self.wait(PATIENCE),
            Err(_) => End::Error(self.error().unwrap_or_default()),
        };
        match end {
            End::Eos => say("eos", json!(null)),
            End::Error(message) => say("error", json!(message)),
            End::TimedOut => say("timeout", json!(null)),
        }
        let frames = std::mem::take(&mut *self.frames.lock().unwrap());
        say("buffers", json!(self.buffers.load(Ordering::SeqCst)));
        for frame in frames {
            say("frame", frame);
        }
        self.bin.set_state(gst::State::Null).expect("NULL");
    }

    /// Waits until `condition` holds.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !condition(self) {
            if let Some(error) = self.error() {
                say("error", json!(error));
                std::process::exit(1);
            }
            assert!(std::time::Instant::now() < deadline, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
