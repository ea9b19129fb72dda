//! Real pipelines against real files and servers, all on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod http;
mod http_server;
mod rtsp;
mod rtsp_server;
mod sim;
mod streams;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer::{self as gst, prelude::*};

use super::*;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn input(uri: &str) -> Input {
    Input {
        uri: url::Url::parse(uri).unwrap(),
        credentials: None,
        transport: Transport::default(),
        capture: None,
        repeat: false,
    }
}

fn file_input(path: &Path) -> Input {
    input(url::Url::from_file_path(path).unwrap().as_str())
}

/// Runs a pipeline of GStreamer's command line syntax to its end.
fn run(description: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(description).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(PATIENCE.as_secs()),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    match end.as_ref().map(|end| end.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        other => panic!("{description}: {other:?}"),
    }
}

/// A clip of 48 pictures at 24 per second, a key frame every 12.
fn clip(folder: &Path, name: &str, encoder_and_muxer: &str) -> PathBuf {
    let path = folder.join(name);
    run(&format!(
        "videotestsrc pattern=ball num-buffers=48 ! video/x-raw,format=I420,width=320,height=240,framerate=24/1 \
         ! {encoder_and_muxer} ! filesink location={}",
        path.display()
    ));
    path
}

fn shared_video(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VISION_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = folder.join("videos").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// Everything that an attempt gives.
#[derive(Debug, Default)]
struct Played {
    formats: Vec<gst::Caps>,
    units: Vec<AccessUnit>,
    /// `None`: it played to its end, or enough was seen.
    failure: Option<Failure>,
}

/// Reads up to `most` units, or to the end.
fn play(input: &Input, pacing: Pacing, telemetry: &Arc<StreamTelemetry>, most: usize) -> Played {
    let mut played = Played::default();
    let mut units = match open(input, pacing, telemetry) {
        Ok(units) => units,
        Err(failure) => return Played { failure: Some(failure), ..played },
    };
    let deadline = Instant::now() + PATIENCE;
    while played.units.len() < most {
        assert!(Instant::now() < deadline, "no end in sight: {} units of {}", played.units.len(), input.uri);
        match units.next(Duration::from_millis(500)) {
            Ok(Next::Format(caps)) => played.formats.push(caps),
            Ok(Next::Unit(unit)) => played.units.push(unit),
            Ok(Next::Idle) => {}
            Ok(Next::Ended) => break,
            Err(failure) => {
                played.failure = Some(failure);
                break;
            }
        }
    }
    played
}

fn reason(played: &Played) -> Option<Reason> {
    played.failure.as_ref().map(|failure| failure.reason)
}

/// Decodes `played` with a decoder of GStreamer, to see that it can be decoded. Returns the number of pictures.
fn decode(played: &Played, decoder: &str) -> usize {
    let pipeline =
        gst::parse::launch(&format!("appsrc name=in format=time ! {decoder} ! fakesink name=out sync=false"))
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
    let source = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
    source.set_caps(played.formats.first());
    let pictures = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&pictures);
    let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    for unit in &played.units {
        source.push_buffer(unit.buffer.clone()).unwrap();
    }
    source.end_of_stream().unwrap();
    let end = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(PATIENCE.as_secs()),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(matches!(end.as_ref().map(|end| end.view()), Some(gst::MessageView::Eos(_))), "{end:?}");
    pictures.load(std::sync::atomic::Ordering::Relaxed)
}
