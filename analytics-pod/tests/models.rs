//! Real detectors on a real picture: opened, fed and read as the pod does it.
//!
//! They need the shared test data and ONNX Runtime; where either is absent the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use analytics_pod::{
    model::{
        ColorOrder, Fit, InputSpec, Layout, Model, ModelError, ModelSource, ModelSpec, OpenOptions, Placement, Session,
        Thresholds,
    },
    observation::Detection,
};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSink;

/// The folder of the shared test data.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("VISION_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let present = folder.join("models").is_dir();
    if !present {
        eprintln!("skipped: no test data at {}", folder.display());
    }
    present.then_some(folder)
}

fn spec(file: &str) -> Option<ModelSpec> {
    let path = data()?.join("models").join(file);
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(ModelSpec::new("test", ModelSource::File(path)))
}

fn open(spec: &ModelSpec) -> Arc<Model> {
    Model::open(spec, &OpenOptions::default()).unwrap()
}

/// Red, green and blue of every pixel, 640 × 360: the first picture of a street.
struct Picture {
    bytes: Vec<u8>,
    width: usize,
    height: usize,
}

fn picture() -> Option<&'static Picture> {
    static PICTURE: OnceLock<Option<Picture>> = OnceLock::new();
    PICTURE
        .get_or_init(|| {
            let path = data()?.join("videos/udacity_test_video.mp4");
            gst::init().unwrap();
            let (width, height) = (640, 360);
            let pipeline = gst::parse::launch(&format!(
                "filesrc location={} ! decodebin ! videoconvert ! videoscale ! \
                 video/x-raw,format=RGB,width={width},height={height} ! appsink name=sink sync=false",
                path.display()
            ))
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
            let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20)).expect("a picture within 20 s");
            pipeline.set_state(gst::State::Null).unwrap();
            let bytes = sample.buffer().unwrap().map_readable().unwrap().to_vec();
            Some(Picture { bytes, width, height })
        })
        .as_ref()
}

/// Lays `picture` into `planes`, nearest pixel for pixel: what matters here is that every model sees the same.
fn fill(planes: &mut [f32], input: &InputSpec, picture: &Picture) -> Placement {
    let placement = input.place(picture.width as u32, picture.height as u32);
    let (width, height) = (input.width as usize, input.height as usize);
    for (channel, plane) in planes.chunks_exact_mut(width * height).enumerate() {
        let color = if input.color_order == ColorOrder::Rgb { channel } else { 2 - channel };
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let inside =
                    |at: usize, start: u32, size: u32| at.checked_sub(start as usize).filter(|at| *at < size as usize);
                let pixel = match (inside(x, placement.x, placement.width), inside(y, placement.y, placement.height)) {
                    (Some(x), Some(y)) => {
                        let x = x * picture.width / placement.width as usize;
                        let y = y * picture.height / placement.height as usize;
                        picture.bytes[(y * picture.width + x) * 3 + color]
                    }
                    _ => input.padding,
                };
                *value = input.value(pixel, channel);
            }
        }
    }
    placement
}

fn run(session: &mut Session, picture: &Picture, thresholds: &Thresholds) -> Vec<Detection> {
    let info = session.info().clone();
    let placement = fill(session.input(0), &info.input, picture);
    let mut output = session.run(&[(placement, thresholds.clone())]).unwrap();
    output.detections.pop().unwrap()
}

fn detect(model: &Arc<Model>, picture: &Picture) -> Vec<Detection> {
    run(&mut model.session().unwrap(), picture, &model.info().thresholds)
}

/// The manifests' part of the derived models: all are fed alike, as the one that they are derived from.
fn derived(file: &str, layout: Layout) -> Option<ModelSpec> {
    let mut spec = spec(file)?;
    spec.layout = Some(layout);
    spec.preprocess.fit = Some(Fit::LetterboxTopLeft);
    if layout == Layout::YoloEndToEnd {
        let path = data()?.join("models/derived_yolox_nano_640.onnx");
        let coco = open(&ModelSpec::new("names", ModelSource::File(path))).info().labels.clone();
        spec.labels = Some(coco);
    }
    Some(spec)
}

#[test]
fn the_same_weights_see_the_same_in_every_layout() {
    let (Some(raw), Some(picture)) = (spec("derived_yolox_nano_640.onnx"), picture()) else { return };
    let raw = open(&raw);
    assert_eq!(raw.info().layout, Layout::YoloXRaw);
    let expected = detect(&raw, picture);
    assert!(expected.len() >= 3, "{expected:?}");
    for (file, layout) in [
        ("derived_yolox_nano_640_yolov5layout.onnx", Layout::YoloV5),
        ("derived_yolox_nano_640_yolov8layout.onnx", Layout::YoloV8),
        ("derived_yolox_nano_640_nmslayout.onnx", Layout::YoloEndToEnd),
    ] {
        let Some(spec) = derived(file, layout) else { return };
        let found = detect(&open(&spec), picture);
        assert_eq!(found.len(), expected.len(), "{layout}: {found:?} {expected:?}");
        for (one, other) in found.iter().zip(&expected) {
            assert_eq!(one.class, other.class, "{layout}");
            assert!((one.confidence - other.confidence).abs() < 1e-3, "{layout}: {one:?} {other:?}");
            assert!(one.bounding_box.iou(&other.bounding_box) >= 0.99, "{layout}: {one:?} {other:?}");
        }
    }
}

#[test]
fn small_detectors_see_the_street() {
    let Some(picture) = picture() else { return };
    for file in ["yolox_nano_416.onnx", "fastestdet.onnx"] {
        let Some(spec) = spec(file) else { return };
        let model = open(&spec);
        let found = detect(&model, picture);
        let labels: Vec<&str> = found.iter().map(|one| &*model.info().labels[one.class as usize]).collect();
        assert!(labels.contains(&"car"), "{file}: {labels:?}");
    }
}

#[test]
fn says_what_a_file_holds() {
    let Some(spec) = spec("yolox_nano_416.onnx") else { return };
    let info = open(&spec).info().clone();
    assert_eq!(info.opset, 11);
    assert_eq!(info.tensors, ["images f32 1×3×416×416", "output f32 1×3549×85"]);
    assert_eq!(&*info.digest, "sha256:695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14");
}

#[test]
fn asks_which_of_two_layouts_a_file_has() {
    let Some(spec) = spec("derived_yolox_nano_640_yolov5layout.onnx") else { return };
    let error = Model::open(&spec, &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, ModelError::Unclear { .. }), "{error}");
    assert!(error.to_string().contains("spec.layout"), "{error}");
}

#[test]
fn sessions_are_reused_and_independent() {
    let (Some(spec), Some(picture)) = (spec("fastestdet.onnx"), picture()) else { return };
    let model = open(&spec);
    let thresholds = &model.info().thresholds;
    let mut first = model.session().unwrap();
    let expected = run(&mut first, picture, thresholds);
    let mut second = model.session().unwrap();
    second.input(0).fill(0.0);
    // What one session holds is no other's, and what was written stays.
    let placement = model.info().input.place(picture.width as u32, picture.height as u32);
    let again = first.run(&[(placement, thresholds.clone())]).unwrap();
    assert_eq!(again.detections, std::slice::from_ref(&expected));
    drop(second);
    drop(first);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| detect(&model, picture))).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), expected);
        }
    });
}

#[test]
fn refuses_more_pictures_than_a_batch_holds() {
    let Some(spec) = spec("fastestdet.onnx") else { return };
    let model = open(&spec);
    let picture = (model.info().input.place(640, 360), model.info().thresholds.clone());
    let mut session = model.session().unwrap();
    assert!(session.run(&[picture.clone(), picture]).unwrap_err().to_string().contains("batch of 1"));
    assert_eq!(session.run(&[]).unwrap().detections.len(), 0);
}

#[test]
fn refuses_what_is_not_the_file_and_what_is_no_model() {
    let Some(mut spec) = spec("fastestdet.onnx") else { return };
    spec.sha256 = Some("00".repeat(32).parse().unwrap());
    let error = Model::open(&spec, &OpenOptions::default()).unwrap_err();
    assert!(matches!(error, ModelError::WrongDigest { .. }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.onnx");
    let whole = std::fs::read(data().unwrap().join("models/fastestdet.onnx")).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"no model at all".as_slice(), b""] {
        std::fs::write(&path, bytes).unwrap();
        let spec = ModelSpec::new("broken", ModelSource::File(path.clone()));
        let error = Model::open(&spec, &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, ModelError::NotOnnx { .. } | ModelError::Inference { .. }), "{error}");
    }
}
