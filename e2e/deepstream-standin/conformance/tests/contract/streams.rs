//! Decoding, batches, and sources that come and go.

use std::time::{Duration, Instant};

use camera_simulator::Codec;
use serde_json::json;

use crate::scene::{EPOCHS, FRAMES, Scene, clip, file_source};

fn mux(properties: &str) -> String {
    format!("nvstreammux name=mux {properties} ! fakesink name=sink async=false")
}

#[test]
fn surfaces_are_laid_out_as_their_epoch_has_them() {
    for (version, bytes) in [("5.1", 64), ("7.1", 64), ("8.0", 72), ("9.1", 72)] {
        let description =
            format!("{} {}", mux("batch-size=2 width=320 height=180 batched-push-timeout=40000"), file_source("a", 0));
        let told = Scene::new(version, "surface", &[&description]).play();
        let surface = told.one("surface");
        assert_eq!(surface["bytes"], json!(bytes), "{version}");
        assert_eq!((&surface["batchSize"], &surface["memoryType"]), (&json!(2), &json!(2)));
        assert_eq!(surface["size"], json!([320, 180]));
        assert_eq!(surface["planes"], json!(2));
        let pitch = surface["pitch"].as_u64().unwrap();
        assert!(pitch > 320 && pitch.is_multiple_of(256), "the width is not the pitch: {pitch}");
        assert!(surface["caps"].as_str().unwrap().contains("memory:NVMM"));
    }
}

#[test]
fn both_codecs_are_decoded_to_every_frame() {
    for (codec, parser) in [(Codec::H264, "h264parse"), (Codec::H265, "h265parse")] {
        let description = format!(
            "{} filesrc location={} ! qtdemux ! {parser} ! nvv4l2decoder ! mux.sink_0",
            mux("batch-size=1 width=640 height=360"),
            clip(codec)
        );
        let told = Scene::new("7.1", "launch", &[&description]).play();
        assert_eq!(told.all("frame").len(), FRAMES, "{codec:?}");
        assert_eq!(told.all("eos").len(), 1);
    }
}

#[test]
fn nvurisrcbin_plays_a_file() {
    let description = format!(
        "{} nvurisrcbin uri=file://{} ! mux.sink_3",
        mux("batch-size=1 width=640 height=360"),
        clip(Codec::H264)
    );
    let told = Scene::new("6.0", "launch", &[&description]).play();
    let frames = told.all("frame");
    assert_eq!(frames.len(), FRAMES, "{told:?}");
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!((&frame["source"], &frame["pad"], &frame["number"]), (&json!(3), &json!(3), &json!(number)));
        assert_eq!(frame["size"], json!([640, 360]));
    }
}

#[test]
fn the_decoder_gives_every_nth_frame() {
    let description = format!(
        "{} filesrc location={} ! qtdemux ! h264parse ! nvv4l2decoder drop-frame-interval=5 ! mux.sink_0",
        mux("batch-size=1 width=640 height=360"),
        clip(Codec::H264)
    );
    let told = Scene::new("7.1", "launch", &[&description]).play();
    assert_eq!(told.all("frame").len(), FRAMES / 5);
}

#[test]
fn frames_say_what_their_epoch_can_say() {
    for version in EPOCHS {
        let description = format!("{} {}", mux("batch-size=1 width=320 height=180"), file_source("a", 2));
        let told = Scene::new(version, "launch", &[&description]).play();
        let frame = told.all("frame")[0];
        let major: u32 = version[..1].parse().unwrap();
        let pipeline = if major < 6 { json!(null) } else { json!([320, 180]) };
        assert_eq!(frame["pipeline"], pipeline, "{version}");
        assert_eq!(frame["sensorSource"], if major < 8 { json!(null) } else { json!(2) }, "{version}");
        assert_eq!(frame["size"], json!([640, 360]), "before the mux");
        assert!(frame["ntp"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_mux_refuses_to_start_without_batch_size_width_and_height() {
    for (properties, words) in [
        ("width=640 height=360", "batch-size of nvstreammux is not set"),
        ("batch-size=1 height=360", "width of nvstreammux is not set"),
        ("batch-size=1 width=640", "height of nvstreammux is not set"),
    ] {
        let description = format!("{} {}", mux(properties), file_source("a", 0));
        let told = Scene::new("7.1", "launch", &[&description]).play();
        assert!(told.error().contains(words), "{told:?}");
    }
}

#[test]
fn a_silent_source_holds_batches_for_ever_without_a_timeout() {
    let play = |timeout: &str, milliseconds: &str| {
        let description =
            format!("{} {}", mux(&format!("batch-size=2 width=640 height=360 {timeout}")), file_source("a", 0));
        Scene::new("7.1", "stalled", &[&description, milliseconds]).play().one("batches").clone()
    };
    assert_eq!(play("", "3000"), json!(false));
    assert_eq!(play("batched-push-timeout=20000", "60000"), json!(true));
}

#[test]
fn the_end_of_one_source_is_told_and_ends_nothing_else() {
    let description = format!(
        "{} {} {}",
        mux("batch-size=2 width=640 height=360 batched-push-timeout=20000"),
        file_source("a", 0),
        file_source("b", 1)
    );
    let told = Scene::new("7.1", "launch", &[&description]).play();
    let mut ends: Vec<_> = told.all("stream-eos").into_iter().map(|id| id.as_u64().unwrap()).collect();
    ends.sort_unstable();
    assert_eq!(ends, [0, 1], "{told:?}");
    assert_eq!(told.all("eos").len(), 1, "the end of all is the end");
    assert_eq!(told.all("frame").len(), 2 * FRAMES);
}

/// Sources in step with the clock, so that they are still streaming.
fn two_live() -> String {
    let source = |name: &str, pad: u32| {
        format!(
            "videotestsrc name={name} is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse ! nvv4l2decoder \
             ! mux.sink_{pad}"
        )
    };
    let mux = mux("batch-size=2 width=320 height=180 batched-push-timeout=40000 live-source=true");
    format!("{mux} {} {}", source("a", 0), source("b", 1))
}

#[test]
fn a_source_that_is_taken_out_in_order_leaves_the_others_alone() {
    for order in ["null,eos,flush-stop,release", "null,flush-start,flush-stop,release"] {
        let told = Scene::new("7.1", "release", &[&two_live(), order]).play();
        assert_eq!(told.all("released").len(), 1, "{order}: {told:?}");
        assert_eq!(*told.one("other"), json!("goes on"));
        assert_eq!(*told.one("again"), json!(true));
    }
}

#[test]
fn sources_come_and_go_without_leaving_threads() {
    let source = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=96,framerate=30/1 \
        ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse ! nvv4l2decoder";
    let mux = mux("batch-size=4 width=160 height=96 batched-push-timeout=40000 live-source=true");
    let told = Scene::new("7.1", "cycles", &[&format!("{mux} {source} ! mux.sink_0"), source, "12"]).play();
    assert_eq!(*told.one("other"), json!("goes on"), "{told:?}");
    let threads: Vec<_> = told.all("cycle").iter().map(|cycle| cycle["threads"].as_u64().unwrap()).collect();
    assert_eq!(threads.len(), 12);
    assert!(threads[11] <= threads[2] + 2, "{threads:?}");
}

#[test]
fn releasing_a_pad_out_of_order_hangs() {
    for order in ["null,release", "null,flush-stop,release", "null,eos,release"] {
        let told = Scene::new("7.1", "release", &[&two_live(), order]).patience(Duration::from_secs(12)).play();
        assert!(!told.ended, "{order}: {told:?}");
        assert_eq!(told.all("releasing").len(), 1, "{order}: {told:?}");
        assert!(told.all("released").is_empty(), "{order}");
        assert!(told.errors.contains("sink_0 is released while its stream is under way"), "{}", told.errors);
    }
}

#[test]
fn releases_in_order_hang_where_it_is_asked_for() {
    let told = Scene::new("7.1", "release", &[&two_live(), "null,eos,flush-stop,release"])
        .env("VISION_STANDIN_RELEASE_DEADLOCK_EVERY", "1")
        .patience(Duration::from_secs(12))
        .play();
    assert!(!told.ended && told.all("released").is_empty(), "{told:?}");
}

#[test]
fn a_pipeline_is_used_again_up_to_7_1_and_a_fatal_error_from_8_0_on() {
    let description = format!(
        "{} videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=320,height=180 ! x264enc tune=zerolatency \
         ! h264parse ! nvv4l2decoder ! mux.sink_0",
        mux("batch-size=1 width=320 height=180")
    );
    for (version, second) in [("6.2", "eos"), ("7.1", "eos")] {
        let told = Scene::new(version, "reuse", &[&description]).play();
        assert_eq!((told.one("first"), told.one("second")), (&json!("eos"), &json!(second)), "{version}");
    }
    for version in ["8.0", "9.1"] {
        let told = Scene::new(version, "reuse", &[&description]).play();
        assert_eq!(*told.one("first"), json!("eos"));
        assert!(told.one("second").as_str().unwrap().contains("SIGSEGV"), "{told:?}");
    }
}

#[test]
fn a_dead_camera_is_an_error_at_once_and_not_tried_again_by_default() {
    let description =
        format!("{} nvurisrcbin uri=rtsp://127.0.0.1:9/none ! mux.sink_0", mux("batch-size=1 width=64 height=64"));
    let began = Instant::now();
    let told = Scene::new("9.1", "launch", &[&description]).play();
    assert!(told.error().contains("connect"), "{told:?}");
    assert!(began.elapsed() < Duration::from_mins(1));
}
