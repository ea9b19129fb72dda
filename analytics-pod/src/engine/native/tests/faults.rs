//! Broken input and models that fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn a_model_that_fails_costs_frames_and_nothing_else() {
    let engine = engine(1);
    let failing = Arc::new(FakeDetector { fault: Fault::Error, ..FakeDetector::new(Duration::ZERO) });
    let (frames, end, telemetry) = start(&engine, &failing, raw(10, "white"), Options::default()).finish();
    assert_eq!((frames.len(), end), (0, AttemptEnd::Completed));
    assert_eq!(telemetry.dropped(DropReason::InferenceFailed), 10);
}

#[test]
fn a_fault_of_the_program_ends_neither_the_detector_nor_other_sources() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector { fault: Fault::PanicIfBright, ..FakeDetector::new(Duration::ZERO) });
    let bright = start(&engine, &detector, raw(10, "white"), Options::default());
    let mut steps = raw(10, "black");
    steps.push(Step::Panic);
    let dark = start(&engine, &detector, steps, Options::default());
    let (frames, end, telemetry) = bright.finish();
    assert_eq!((frames.len(), end, telemetry.dropped(DropReason::InferenceFailed)), (0, AttemptEnd::Completed, 10));
    let (frames, end, _) = dark.finish();
    assert!(frames.len() >= 8, "{}", frames.len());
    assert!(matches!(end, AttemptEnd::Failed(failure) if failure.reason == Reason::PipelineFailed));
}

#[test]
fn decoding_begins_at_a_key_frame() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(90, (160, 120));
    // The format stays; the first key frame is lost.
    steps.remove(1);
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!(end, AttemptEnd::Completed);
    assert_eq!(telemetry.dropped(DropReason::AwaitingKeyFrame), 29);
    assert_eq!(frames.len() as u64 + drops(&telemetry), 89);
    assert!(frames.len() >= 58, "{}", frames.len());
}

#[test]
fn broken_units_are_counted_and_do_not_end_a_source() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    for seed in 0..4_u8 {
        let mut steps = h264(120, (160, 120));
        let total = units(&steps);
        for (index, step) in steps.iter_mut().enumerate().filter(|(index, _)| (20..60).contains(index)) {
            if let Step::Unit(buffer, ..) = step {
                let mut map = buffer.make_mut().map_writable().unwrap();
                for (at, byte) in map.iter_mut().enumerate().skip(usize::from(seed) * 3) {
                    *byte = byte.wrapping_mul(31).wrapping_add((at * index) as u8);
                }
            }
        }
        let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
        assert_eq!(end, AttemptEnd::Completed);
        assert_eq!(frames.len() as u64 + drops(&telemetry), total, "every unit is accounted for");
        assert!(frames.iter().filter(|frame| frame.number >= 60).count() >= 59, "the rest is whole");
    }
}

#[test]
fn a_source_of_garbage_fails_with_a_reason() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let mut steps = h264(200, (160, 120));
    for step in &mut steps {
        if let Step::Unit(buffer, ..) = step {
            buffer.make_mut().map_writable().unwrap().fill(0x55);
        }
    }
    let total = units(&steps);
    let (frames, end, telemetry) = start(&engine, &detector, steps, Options::default()).finish();
    let AttemptEnd::Failed(failure) = end else { panic!("{end:?}") };
    assert_eq!((failure.reason, frames.len()), (Reason::CorruptStream, 0), "{failure}");
    assert!(drops(&telemetry) > 0 && drops(&telemetry) <= total);
}

#[test]
fn failures_of_the_input_and_of_its_codec_are_told() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let lost = Failure::new(Reason::ConnectionLost, "gone");
    let mut steps = raw(2, "white");
    steps.push(Step::Fail(lost.clone()));
    let (frames, end, _) = start(&engine, &detector, steps, Options::default()).finish();
    assert_eq!((frames.len(), end), (2, AttemptEnd::Failed(lost)));

    let caps = gst::Caps::builder("video/x-unheard-of").build();
    let (_, end, _) = start(&engine, &detector, vec![Step::Format(caps)], Options::default()).finish();
    let AttemptEnd::Failed(failure) = end else { panic!("{end:?}") };
    assert_eq!(failure.reason, Reason::UnsupportedCodec, "{failure}");
}

#[test]
fn a_detector_that_hangs_is_seen_and_one_without_work_is_not_one() {
    let engine = engine(1);
    let (let_go, gate) = bounded(0);
    let hanging = Arc::new(FakeDetector { gate: Some(gate), ..FakeDetector::new(Duration::ZERO) });
    assert_eq!(engine.stalled(), Duration::ZERO);
    let run = start(&engine, &hanging, raw(3, "white"), Options::default());
    let until = Instant::now() + PATIENCE;
    while engine.stalled() < Duration::from_millis(200) {
        assert!(Instant::now() < until, "{:?}", engine.stalled());
        thread::sleep(Duration::from_millis(5));
    }
    drop(let_go);
    let (frames, end, _) = run.finish();
    assert_eq!((frames.len(), end), (3, AttemptEnd::Completed));
    assert_eq!(engine.stalled(), Duration::ZERO);
}
