//! Which frames are inferred, in what order, and how an attempt ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn every_frame_of_a_file_comes_out_in_order() {
    let engine = engine(3);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(3)));
    let steps = h264(90, (160, 120));
    assert_eq!(units(&steps), 90);
    // A consumer slower than the detector, at times.
    let running = start(&engine, &detector, steps, Options { capacity: Some(1), ..Options::default() });
    thread::sleep(Duration::from_millis(30));
    let (frames, end, telemetry) = running.finish();
    assert_eq!(end, AttemptEnd::Completed);
    // Although the units come as I P B B.
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, (0..90).collect::<Vec<_>>());
    assert_eq!((telemetry.decoded(), drops(&telemetry)), (90, 0));
    let format = telemetry.format().unwrap();
    assert_eq!((&*format.codec, format.width, format.height), ("H.264", 160, 120));
    assert!(telemetry.stage(Stage::Decode) > Duration::ZERO);
    assert!(telemetry.stage(Stage::Convert) > Duration::ZERO);
    assert!(detector.sessions.load(Ordering::Relaxed) <= 3);
}

#[test]
fn a_slow_detector_is_given_the_newest_frame() {
    let engine = engine(1);
    let (open, gate) = bounded(2);
    let detector = Arc::new(FakeDetector { gate: Some(gate), ..FakeDetector::new(Duration::ZERO) });
    let running = start(&engine, &detector, raw(10, "ball"), Options { live: true, ..Options::default() });
    // The detector is stuck in an early frame, or has none yet, until all are decoded.
    let deadline = Instant::now() + PATIENCE;
    while running.telemetry.decoded() < 10 {
        assert!(Instant::now() < deadline, "{} decoded", running.telemetry.decoded());
        thread::sleep(Duration::from_millis(1));
    }
    open.send(()).unwrap();
    open.send(()).unwrap();
    let (frames, end, telemetry) = running.finish();
    assert_eq!(end, AttemptEnd::Completed);
    assert!((1..=2).contains(&frames.len()), "{}", frames.len());
    assert_eq!(frames[frames.len() - 1].number, 9);
    assert_eq!(telemetry.dropped(DropReason::Superseded) + frames.len() as u64, 10);
}

/// Each source has a frame waiting whenever the detector is free, however long anything takes.
#[test]
fn sources_share_the_detector_fairly_under_overload() {
    const FRAMES: usize = 200;
    let engine = engine(1);
    let (open, gate) = bounded(FRAMES);
    let detector = Arc::new(FakeDetector { gate: Some(gate), ..FakeDetector::new(Duration::ZERO) });
    let weights = [1, 1, 1, 1, 1, 1, 2, 2];
    let (askers, running): (Vec<_>, Vec<_>) = weights
        .into_iter()
        .map(|weight| {
            let (ask, asked) = unbounded();
            let settings = DetectionSettings { weight, ..DetectionSettings::default() };
            let options = Options { live: true, settings, asked: Some(asked), ..Options::default() };
            (ask, start(&engine, &detector, raw(FRAMES as u32, "ball"), options))
        })
        .unzip();
    let mut asked = weights.map(|_| 0);
    let mut ask = |source: usize| {
        askers[source].send(()).unwrap();
        asked[source] += 1;
        let deadline = Instant::now() + PATIENCE;
        while running[source].telemetry.decoded() < asked[source] {
            assert!(Instant::now() < deadline, "source {source} gives no frame");
            thread::sleep(Duration::from_micros(100));
        }
    };
    (0..weights.len()).for_each(&mut ask);
    let mut served = weights.map(|_| 0_u32);
    for _ in 0..FRAMES {
        open.send(()).unwrap();
        let mut frames = crossbeam_channel::Select::new();
        for running in &running {
            frames.recv(&running.frames);
        }
        let ready = frames.select_timeout(PATIENCE).unwrap();
        let source = ready.index();
        ready.recv(&running[source].frames).unwrap();
        served[source] += 1;
        ask(source);
    }
    // Two frames short of the exact share at the most: one in the detector, one that waits.
    for (served, weight) in served.into_iter().zip(weights) {
        let share = FRAMES as u32 * weight / weights.iter().sum::<u32>();
        assert!(served.abs_diff(share) <= 2, "{served} of {share}");
    }
    drop(open);
}

#[test]
fn frames_of_several_sources_are_batched() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::with_batch(Duration::from_millis(5), 4));
    let running: Vec<_> = ["white", "black", "white", "black"]
        .map(|pattern| start(&engine, &detector, raw(40, pattern), Options::default()))
        .into_iter()
        .collect();
    for (running, expected) in running.into_iter().zip([1.0, 0.0, 1.0, 0.0]) {
        let (frames, _, _) = running.finish();
        assert_eq!(frames.len(), 40);
        assert!(frames.iter().all(|frame| (frame.detections[0].bounding_box.x - expected).abs() < 0.02));
        assert!(frames.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
    let batches = detector.batches.lock().unwrap();
    assert!(batches.contains(&4) && batches.len() < 160, "{batches:?}");
}

#[test]
fn a_lower_rate_leaves_disposable_units_undecoded() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let settings = DetectionSettings { fps: Some(5.0), ..DetectionSettings::default() };
    let steps = h264(300, (160, 120));
    let disposable = steps.iter().filter(|step| matches!(step, Step::Unit(_, _, true))).count() as u64;
    assert!((190..=200).contains(&disposable), "{disposable} are disposable");
    let (frames, _, telemetry) = start(&engine, &detector, steps, Options { settings, ..Options::default() }).finish();
    assert!((49..=51).contains(&frames.len()), "{} frames", frames.len());
    let skipped = telemetry.dropped(DropReason::NotReferenced);
    assert!(skipped > 160, "{skipped} of {disposable} were left out");
    assert_eq!(telemetry.decoded() + skipped, 300);
    assert_eq!(telemetry.dropped(DropReason::NotDue) + frames.len() as u64, telemetry.decoded());
}

#[test]
fn stopping_ends_a_source_at_once_whatever_it_waits_for() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(5)));
    let mut hanging = raw(3, "white");
    hanging.push(Step::Hang);
    // One waits for its input, one for the detector, one for its consumer.
    let mut waiting_for_input = start(&engine, &detector, hanging, Options::default());
    let mut waiting_for_consumer =
        start(&engine, &detector, raw(100, "white"), Options { capacity: Some(1), ..Options::default() });
    for running in [&mut waiting_for_input, &mut waiting_for_consumer] {
        running.frames.recv_timeout(PATIENCE).unwrap();
        let asked = Instant::now();
        running.handle.stop();
        assert_eq!(running.end(), AttemptEnd::Stopped);
        assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    }
    let (frames, end, telemetry) = start(&engine, &detector, raw(10, "white"), Options::default()).finish();
    assert_eq!((frames.len(), end, drops(&telemetry)), (10, AttemptEnd::Completed, 0), "the worker is free again");
}

#[test]
fn shutting_down_ends_everything_and_delivers_what_is_in_hand() {
    let engine = engine(2);
    let detector = Arc::new(FakeDetector::new(Duration::from_millis(20)));
    let pace = Some(Duration::from_millis(5));
    let mut running: Vec<_> = (0..4)
        .map(|_| start(&engine, &detector, raw(400, "white"), Options { live: true, pace, ..Options::default() }))
        .collect();
    running[0].frames.recv_timeout(PATIENCE).unwrap();
    engine.shut_down(PATIENCE);
    for running in &mut running {
        assert_eq!(running.end(), AttemptEnd::Stopped);
        // One frame of the first source was taken above.
    }
    let inferred: usize = running.iter().map(|running| running.frames.try_iter().count()).sum();
    assert_eq!(inferred + 1, detector.batches.lock().unwrap().len());
    let life = engine.shared.life();
    assert_eq!((life.attempts, life.workers), (0, 0));
    drop(life);
    let mut late = start(&engine, &detector, raw(4, "white"), Options::default());
    assert_eq!(late.end(), AttemptEnd::Stopped);
}

#[test]
fn a_full_output_drops_live_frames_and_counts_them() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    let options = Options { live: true, capacity: Some(1), pace: Some(Duration::from_millis(2)), ..Options::default() };
    let mut running = start(&engine, &detector, raw(50, "white"), options);
    assert_eq!(running.end(), AttemptEnd::Completed);
    let telemetry = &running.telemetry;
    assert!(telemetry.dropped(DropReason::OutputOverflow) > 0);
    assert_eq!(drops(telemetry), 49);
}

#[test]
fn sessions_of_a_model_that_nobody_uses_are_let_go() {
    let engine = engine(1);
    let detector = Arc::new(FakeDetector::new(Duration::ZERO));
    start(&engine, &detector, raw(2, "white"), Options::default()).finish();
    let batches = Arc::downgrade(&detector.batches);
    // The fake's sessions hold its list of batches.
    drop(detector);
    let deadline = Instant::now() + PATIENCE;
    while batches.strong_count() > 0 {
        assert!(Instant::now() < deadline, "a session lives on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_model_changes_between_two_frames() {
    let engine = engine(1);
    let model = Arc::new(ArcSwap::from_pointee(FakeDetector::new(Duration::from_millis(2))));
    let pace = Some(Duration::from_millis(2));
    let running = start_with(&engine, model.clone(), raw(100, "white"), Options { pace, ..Options::default() });
    let first = running.frames.recv_timeout(PATIENCE).unwrap();
    let mut next = FakeDetector::new(Duration::ZERO);
    next.info = Arc::new(ModelInfo { name: "next".into(), ..(*next.info).clone() });
    let before = Arc::downgrade(&model.swap(Arc::new(next)));
    let (frames, end, telemetry) = running.finish();
    assert_eq!((frames.len(), end, drops(&telemetry)), (99, AttemptEnd::Completed, 0));
    assert_eq!(&*first.model.name, "fake");
    assert_eq!(&*frames[98].model.name, "next");
    let deadline = Instant::now() + PATIENCE;
    while before.strong_count() > 0 {
        assert!(Instant::now() < deadline, "the model before lives on");
        thread::sleep(Duration::from_millis(1));
    }
}
