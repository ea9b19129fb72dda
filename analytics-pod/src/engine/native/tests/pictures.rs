//! What of a picture reaches the model, and what is made of its answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn brightness_survives_decoding_and_conversion() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for (pattern, expected) in [("white", 1.0), ("black", 0.0), ("red", 1.0 / 3.0)] {
        // JPEG is full range by definition.
        for (encoder, colorimetry) in [
            ("jpegenc quality=95", "1:4:0:0"),
            ("x264enc tune=zerolatency qp-max=10 ! video/x-h264,stream-format=avc", "bt601"),
        ] {
            let steps = encoded(&format!(
                "videotestsrc num-buffers=5 pattern={pattern} ! video/x-raw,format=RGB,width=66,height=50 ! \
                 videoconvert ! video/x-raw,format=I420,colorimetry={colorimetry} ! {encoder}"
            ));
            let (frames, end, _) = start(&engine, &detector, steps, Options::default()).finish();
            assert_eq!((frames.len(), end), (5, AttemptEnd::Completed), "{encoder}");
            let mean = frames[4].detections[0].bounding_box.x;
            assert!((mean - expected).abs() < 0.02, "{pattern} by {encoder}: {mean}");
        }
    }
}

#[test]
fn other_formats_of_pictures_are_read() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for format in
        ["I420", "Y42B", "Y444", "NV12", "GRAY8", "RGB", "BGR", "BGRx", "xRGB", "RGBA", "I420_10LE", "YUY2", "RGB16"]
    {
        let steps = encoded(&format!(
            "videotestsrc num-buffers=2 pattern=white ! video/x-raw,format={format},width=37,height=21"
        ));
        let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
        assert_eq!((frames.len(), end), (2, AttemptEnd::Completed), "{format}");
        // The test source paints video white into grey pictures, whose caps say full range.
        let expected = if format == "GRAY8" { 235.0 / 255.0 } else { 1.0 };
        let mean = frames[0].detections[0].bounding_box.x;
        assert!((mean - expected).abs() < 0.02, "{format}: {mean}");
        assert_eq!(&*telemetry.format().unwrap().codec, "raw");
    }
}

struct Brightness;

impl FrameTap for Brightness {
    fn look(&self, number: u64, frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Map<String, Value> {
        Map::from_iter([
            ("luma".to_owned(), frame.plane_data(0).unwrap()[0].into()),
            ("number".to_owned(), number.into()),
        ])
    }
}

#[test]
fn the_tap_sees_each_inferred_picture() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let options = Options { tap: Some(Arc::new(Brightness)), ..Options::default() };
    let (frames, _, _) = start(&engine, &detector, raw(3, "white"), options).finish();
    assert_eq!(frames[2].metadata["luma"], 235);
    assert_eq!(frames[2].metadata["number"], 2);
}

#[test]
fn settings_choose_the_detections() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let classes = |settings: DetectionSettings| {
        let options = Options { settings, ..Options::default() };
        let (frames, _, _) = start(&engine, &detector, raw(1, "white"), options).finish();
        let detections = &frames[0].detections;
        (
            detections.iter().map(|detection| detection.class).collect::<Vec<_>>(),
            detections.first().map(|d| d.confidence),
        )
    };
    let settings = DetectionSettings::default();
    assert_eq!(classes(settings.clone()), (vec![0, 1, 2, 1], Some(0.25)));
    assert_eq!(classes(DetectionSettings { max_objects: 2, ..settings.clone() }).0, [0, 1]);
    assert_eq!(classes(DetectionSettings { confidence: Some(0.7), ..settings.clone() }).1, Some(0.7));
    let of_one = DetectionSettings { classes: Some(Arc::from([1])), max_objects: 2, ..settings };
    assert_eq!(classes(of_one).0, [1, 1], "objects of other classes use up no places");
}

#[test]
fn a_change_of_resolution_goes_on_without_a_new_attempt() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(30, (160, 120));
    steps.extend(h264(30, (320, 240)));
    steps.extend(encoded("videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48 ! jpegenc"));
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!(end, AttemptEnd::Completed);
    let widths: Vec<u32> = frames.iter().map(|frame| frame.width).collect();
    assert_eq!(widths, [vec![160; 30], vec![320; 30], vec![64; 5]].concat());
    assert_eq!(drops(&telemetry), 0);
    assert_eq!(&*telemetry.format().unwrap().codec, "JPEG");
}

#[test]
fn a_file_that_repeats_starts_over_without_loss() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(60, (160, 120));
    steps.extend(h264(60, (160, 120)).into_iter().skip(1));
    let (frames, _, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!((frames.len(), drops(&telemetry)), (120, 0));
}
