//! Scenes with pipelines.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use deepstream_standin::{
    layout::{SurfaceHead, surface_params},
    version::epoch,
};
use gstreamer::{self as gst, glib, prelude::*};
use serde_json::{Value, json};

use crate::pipeline::{End, Pipeline, say};

/// What an element is like.
pub(crate) fn inspect(name: &str) {
    let Some(factory) = gst::ElementFactory::find(name) else { return say("absent", json!(name)) };
    let Ok(factory) = factory.load() else { return say("absent", json!(name)) };
    say("plugin", json!(factory.plugin_name().map(|name| name.to_string())));
    let templates: Vec<String> = factory
        .static_pad_templates()
        .into_iter()
        .map(|template| format!("{} {}", template.name_template(), template.caps()))
        .collect();
    say("templates", json!(templates));
    let Ok(element) = factory.create().build() else { return say("absent", json!(name)) };
    for spec in element.list_properties() {
        if spec.owner_type() == element.type_() {
            let value = spec.default_value();
            let default: Value = if let Some((_, value)) = glib::EnumValue::from_value(value) {
                json!({ "nick": value.nick(), "value": value.value() })
            } else {
                json!(value.serialize().ok().map(|text| text.to_string()))
            };
            let ready = spec.flags().contains(gst::PARAM_FLAG_MUTABLE_READY);
            let kind = spec.value_type().to_string();
            say("property", json!({ "name": spec.name(), "type": kind, "default": default, "ready": ready }));
        }
    }
}

/// What the memory of the sink's first buffer says of itself.
pub(crate) fn surface(description: &str) {
    let pipeline = Pipeline::new(description);
    let sink = pipeline.bin.by_name("sink").unwrap();
    sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let buffer = info.buffer().unwrap();
        let map = buffer.map_readable().unwrap();
        // SAFETY: memory of NVMM caps holds a surface of the epoch; its list lives with the buffer.
        let (batch, surface) = unsafe {
            let mut batch = map.as_ptr().cast::<SurfaceHead>().read_unaligned();
            (batch, *surface_params(epoch(), &raw mut batch, 0))
        };
        say(
            "surface",
            json!({
                "caps": pad.current_caps().map(|caps| caps.to_string()),
                "bytes": map.len(),
                "batchSize": batch.batch_size,
                "filled": batch.filled,
                "memoryType": batch.memory_type,
                "size": [surface.width, surface.height],
                "pitch": surface.pitch,
                "colorFormat": surface.color_format,
                "planes": surface.planes.planes,
            }),
        );
        gst::PadProbeReturn::Remove
    });
    pipeline.run();
}

/// Sets a property while the pipeline plays.
pub(crate) fn property(description: &str, element: &str, property: &str, value: &str) {
    let pipeline = Pipeline::new(description);
    pipeline.play().unwrap();
    pipeline.until("a buffer", |pipeline| pipeline.buffers.load(Ordering::SeqCst) > 0);
    pipeline.bin.by_name(element).unwrap().set_property_from_str(property, value);
    match pipeline.wait(Duration::from_mins(1)) {
        End::Error(message) => say("error", json!(message)),
        other => say("other", json!(format!("{other:?}"))),
    }
    pipeline.bin.set_state(gst::State::Null).unwrap();
}

/// Keeps DeepStream's events from the element called `infer`.
pub(crate) fn without_pad_added(description: &str) {
    let pipeline = Pipeline::new(description);
    let infer = pipeline.bin.by_name("infer").unwrap();
    infer.static_pad("sink").unwrap().add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        let event = info.event().unwrap();
        // SAFETY: a valid event.
        let number = unsafe { (*event.as_ptr()).type_ } >> 8;
        if number == 400 { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
    pipeline.run();
}

/// Sends nvinfer another interval before the first frame.
pub(crate) fn interval(description: &str, interval: u32) {
    let pipeline = Pipeline::new(description);
    let infer = pipeline.bin.by_name("infer").unwrap();
    let pad = infer.static_pad("sink").unwrap();
    let once = std::sync::Once::new();
    let peer = pad.peer().unwrap();
    peer.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        once.call_once(|| {
            let structure = gst::Structure::builder("nv-infer-interval-update")
                .field("stream_id", "0")
                .field("interval", interval)
                .build();
            // SAFETY: the event takes the structure. 407, downstream and serialised.
            let event = unsafe {
                let structure = glib::translate::IntoGlibPtr::into_glib_ptr(structure);
                glib::translate::from_glib_full::<_, gst::Event>(gst::ffi::gst_event_new_custom(
                    (407 << 8) | 2 | 4,
                    structure,
                ))
            };
            pad.push_event(event);
        });
        gst::PadProbeReturn::Ok
    });
    pipeline.run();
}

/// Takes the source called `a` out of the mux while `b` goes on, in a certain order.
pub(crate) fn release(description: &str, order: &str) {
    let pipeline = Pipeline::new(description);
    pipeline.play().unwrap();
    let of = |pipeline: &Pipeline, source: u64| {
        pipeline.frames.lock().unwrap().iter().filter(|frame| frame["source"] == source).count()
    };
    pipeline.until("frames of both", |pipeline| of(pipeline, 0) > 2 && of(pipeline, 1) > 2);
    let mux = pipeline.bin.by_name("mux").unwrap();
    let source = pipeline.bin.by_name("a").unwrap();
    let pad = mux.static_pad("sink_0").unwrap();
    let began = Instant::now();
    for step in order.split(',') {
        match step {
            "null" => source.set_state(gst::State::Null).map(drop).unwrap(),
            "eos" => drop(pad.send_event(gst::event::Eos::new())),
            "flush-start" => drop(pad.send_event(gst::event::FlushStart::new())),
            "flush-stop" => drop(pad.send_event(gst::event::FlushStop::new(false))),
            "release" => {
                say("releasing", json!(null));
                mux.release_request_pad(&pad);
                say("released", json!(began.elapsed().as_millis() as u64));
            }
            other => panic!("no step {other}"),
        }
    }
    let before = of(&pipeline, 1);
    pipeline.until("frames of the other", |pipeline| of(pipeline, 1) > before + 5);
    say("other", json!("goes on"));
    assert!(mux.static_pad("sink_0").is_none());
    let again = mux.request_pad_simple("sink_0");
    say("again", json!(again.is_some()));
    pipeline.bin.set_state(gst::State::Null).unwrap();
}

/// Plays to the end, and then once more.
pub(crate) fn reuse(description: &str) {
    let pipeline = Pipeline::new(description);
    for turn in ["first", "second"] {
        let end = match pipeline.play() {
            Ok(()) => pipeline.wait(Duration::from_mins(1)),
            Err(_) => End::Error(pipeline.error().unwrap_or_default()),
        };
        say(
            turn,
            json!(match end {
                End::Eos => "eos".to_owned(),
                End::Error(message) => message,
                End::TimedOut => "timeout".to_owned(),
            }),
        );
        pipeline.bin.set_state(gst::State::Null).unwrap();
    }
}

/// One source, and one that never says anything: does a batch come in that time?
pub(crate) fn stalled(description: &str, milliseconds: u64) {
    let pipeline = Pipeline::new(description);
    let mux = pipeline.bin.by_name("mux").unwrap();
    let silent = mux.request_pad_simple("sink_7").unwrap();
    pipeline.play().unwrap();
    let deadline = Instant::now() + Duration::from_millis(milliseconds);
    while pipeline.buffers.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    say("batches", json!(pipeline.buffers.load(Ordering::SeqCst) > 0));
    drop(silent);
    pipeline.bin.set_state(gst::State::Null).unwrap();
}

/// Plays a camera with a main loop until frames have come again after a pause of four seconds.
pub(crate) fn camera(description: &str, milliseconds: u64) {
    const PAUSE: Duration = Duration::from_secs(4);
    let pipeline = Pipeline::new(description);
    pipeline.play().unwrap();
    let main_loop = glib::MainLoop::new(None, false);
    let quit = main_loop.clone();
    let buffers = pipeline.buffers.clone();
    let (mut seen, mut last, mut paused) = (0, Instant::now(), false);
    let deadline = Instant::now() + Duration::from_millis(milliseconds);
    glib::timeout_add_local(Duration::from_millis(20), move || {
        let now = buffers.load(Ordering::SeqCst);
        if now > seen {
            if seen == 0 {
                say("streams", json!(null));
            }
            if seen > 0 && !paused && last.elapsed() >= PAUSE {
                say("resumed", json!(now));
                paused = true;
            }
            (seen, last) = (now, Instant::now());
        }
        if paused || Instant::now() > deadline {
            quit.quit();
            return glib::ControlFlow::Break;
        }
        glib::ControlFlow::Continue
    });
    main_loop.run();
    if let Some(error) = pipeline.error() {
        say("error", json!(error));
    }
    pipeline.bin.set_state(gst::State::Null).unwrap();
}

/// Adds a source and takes it out in order, again and again, beside one that goes on.
pub(crate) fn cycles(description: &str, source: &str, count: usize) {
    let pipeline = Pipeline::new(description);
    let mux = pipeline.bin.by_name("mux").unwrap();
    pipeline.play().unwrap();
    let of = |pipeline: &Pipeline, source: usize| {
        pipeline.frames.lock().unwrap().iter().filter(|frame| frame["source"] == source).count()
    };
    pipeline.until("frames of the first", |pipeline| of(pipeline, 0) > 2);
    for turn in 1..=count {
        let added = gst::parse::bin_from_description(source, true).unwrap();
        pipeline.bin.add(&added).unwrap();
        let pad = mux.request_pad_simple(&format!("sink_{turn}")).unwrap();
        added.static_pad("src").unwrap().link(&pad).unwrap();
        added.sync_state_with_parent().unwrap();
        pipeline.until("frames of the added one", |pipeline| of(pipeline, turn) > 1);
        added.set_state(gst::State::Null).unwrap();
        pad.send_event(gst::event::Eos::new());
        pad.send_event(gst::event::FlushStop::new(false));
        mux.release_request_pad(&pad);
        pipeline.bin.remove(&added).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        say("cycle", json!({ "turn": turn, "threads": number("Threads"), "memory": number("VmRSS") }));
    }
    let before = of(&pipeline, 0);
    pipeline.until("frames of the first", |pipeline| of(pipeline, 0) > before + 5);
    say("other", json!("goes on"));
    pipeline.bin.set_state(gst::State::Null).unwrap();
}
