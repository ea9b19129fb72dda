//! The engine on DeepStream against a stand-in for it, in every version; DeepStream itself is not needed, and not
//! tested by this.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod deepstream;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use analytics_pod::{
    engine::{
        AttemptEnd, Engine, InferredFrame,
        deepstream::{DeepStreamEngine, DeepStreamSettings},
        native::{NativeEngine, NativeSettings},
    },
    model::Model,
    observation::Detection,
    source::Pacing,
};
use deepstream::{
    PATIENCE, Playing, SIZE, VERSIONS, build_parsers, clip, drops, engine, in_a_process, input, installation, root,
    settings, starter,
};

const FRAMES: u32 = 60;

/// Objects of which a detector is sure: not those that come and go with the last bit of a pixel.
const CONFIDENT: f32 = 0.5;

/// How many of `ours` of at least this confidence have a partner of their own in `theirs`: of the class, and of nearly
/// the same box.
fn matched(ours: &[Detection], theirs: &[Detection], least: f32, confidence: f32) -> usize {
    let mut left: Vec<&Detection> = theirs.iter().collect();
    ours.iter()
        .filter(|detection| detection.confidence >= confidence)
        .filter(|detection| {
            let partner = left.iter().position(|other| {
                other.class == detection.class && other.bounding_box.iou(&detection.bounding_box) >= least
            });
            partner.map(|index| left.swap_remove(index)).is_some()
        })
        .count()
}

fn objects(frames: &[InferredFrame], confidence: f32) -> usize {
    frames.iter().flat_map(|frame| &frame.detections).filter(|object| object.confidence >= confidence).count()
}

#[test]
fn both_engines_see_the_same_in_every_version() {
    for version in VERSIONS {
        in_a_process("child_sees_what_native_sees", version, &[]);
    }
}

#[test]
#[ignore = "a part of both_engines_see_the_same_in_every_version"]
fn child_sees_what_native_sees() {
    let Some(root) = root() else { return };
    let path = clip(&root, FRAMES, 7);
    let model = starter();
    let native = NativeEngine::new(NativeSettings::default()).unwrap();
    let play = |engine: &dyn Engine| {
        let playing = Playing::start(engine, "street", input(&path, false), Pacing::Lossless, &model);
        let (frames, end, telemetry) = playing.finish();
        assert_eq!(end, AttemptEnd::Completed, "{}", engine.name());
        assert_eq!((telemetry.received(), drops(&telemetry)), (u64::from(FRAMES), 0), "{}", engine.name());
        frames
    };
    let expected = play(&native);
    let deepstream = engine(&root);
    let found = play(&deepstream);
    deepstream.shut_down(PATIENCE);
    native.shut_down(PATIENCE);

    let numbers = |frames: &[InferredFrame]| frames.iter().map(|frame| frame.number).collect::<Vec<_>>();
    assert_eq!(numbers(&found), numbers(&expected));
    assert!(found.iter().all(|frame| (frame.width, frame.height) == SIZE));
    let same = |least: f32, confident: f32| {
        let pairs = || found.iter().zip(&expected);
        let ours: usize = pairs().map(|(a, b)| matched(&a.detections, &b.detections, least, confident)).sum();
        let theirs: usize = pairs().map(|(a, b)| matched(&b.detections, &a.detections, least, confident)).sum();
        let all = objects(&found, confident) + objects(&expected, confident);
        (all, (ours + theirs) as f64 / all as f64)
    };
    let (all, close) = same(0.95, 0.0);
    let (_, near) = same(0.5, 0.0);
    let (confident, close_and_confident) = same(0.95, CONFIDENT);
    let (_, near_and_confident) = same(0.5, CONFIDENT);
    println!(
        "measured: of {all} objects of both {close:.4} match at 0.95 and {near:.4} at 0.5; of {confident} confident ones {close_and_confident:.4} and {near_and_confident:.4}"
    );
    assert!(all > 100, "there is something to see: {all}");
    assert!(close >= 0.96 && near >= 0.98, "{close} {near}");
    assert!(close_and_confident >= 0.97 && near_and_confident >= 0.995, "{close_and_confident} {near_and_confident}");
}

fn counted(frames: &[InferredFrame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.number).collect()
}

#[test]
fn sources_come_and_go_while_others_stay() {
    for version in ["5.1", "6.2", "7.1", "9.1"] {
        in_a_process("child_takes_sources_in_and_lets_them_go", version, &[]);
    }
}

/// Frames of a source that plays on, looked at until `done`; the longest time between two of them.
fn longest_gap(playing: &Playing, done: impl Fn() -> bool) -> Duration {
    let (mut longest, mut last, mut number) = (Duration::ZERO, Instant::now(), None);
    while !done() {
        if let Ok(frame) = playing.frames.recv_timeout(Duration::from_millis(20)) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            assert!(number < Some(frame.number), "{number:?} comes before {}", frame.number);
            number = Some(frame.number);
        }
        assert!(last.elapsed() < PATIENCE, "no frame comes any more");
    }
    longest.max(last.elapsed())
}

/// Takes a source in and lets it go, `cycles` times, while another one plays; returns the other one's longest gap.
fn cycle(engine: &DeepStreamEngine, path: &Path, model: &Arc<Model>, cycles: usize) -> Duration {
    let stays = Playing::start(engine, "stays", input(path, true), Pacing::Live, model);
    stays.next();
    let done = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let cycling = scope.spawn(|| {
            for round in 0..cycles {
                let playing = Playing::start(engine, "comes", input(path, true), Pacing::Live, model);
                let frame = playing.next();
                assert_eq!((frame.width, frame.height), SIZE, "round {round}");
                assert_eq!(playing.stop().1, AttemptEnd::Stopped, "round {round}");
            }
            done.store(true, Ordering::Release);
        });
        let longest = longest_gap(&stays, || done.load(Ordering::Acquire) || cycling.is_finished());
        cycling.join().unwrap();
        longest
    });
    assert_eq!(stays.stop().1, AttemptEnd::Stopped);
    longest
}

#[test]
#[ignore = "a part of sources_come_and_go_while_others_stay"]
fn child_takes_sources_in_and_lets_them_go() {
    let Some(root) = root() else { return };
    let path = clip(&root, FRAMES, 7);
    let model = starter();
    let engine = engine(&root);
    let longest = cycle(&engine, &path, &model, 12);
    println!("measured: longest gap {} ms", longest.as_millis());
    assert_eq!(engine.lost_places(), 0);

    // The last source has gone; another one begins all the same.
    let again = Playing::start(&engine, "again", input(&path, true), Pacing::Live, &model);
    again.next();
    let four: Vec<_> = (0..3)
        .map(|_| Playing::start(&engine, "more", input(&path, true), Pacing::Live, &model))
        .inspect(|playing| drop(playing.next()))
        .collect();
    let (_, end, _) = Playing::start(&engine, "too-many", input(&path, true), Pacing::Live, &model).finish();
    assert!(matches!(&end, AttemptEnd::Failed(failure) if failure.message.contains("4 places")), "{end:?}");

    // A source that cannot be decoded costs no other.
    let garbage = root.join("garbage.h264");
    let mut bytes = vec![0, 0, 0, 1, 0x67];
    bytes.extend((0..200_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8));
    std::fs::write(&garbage, bytes).unwrap();
    drop(four);
    let (_, end, _) = Playing::start(&engine, "garbage", input(&garbage, false), Pacing::Lossless, &model).finish();
    assert!(matches!(end, AttemptEnd::Failed(_)), "{end:?}");
    let (frames, end, _) = Playing::start(&engine, "good", input(&path, false), Pacing::Lossless, &model).finish();
    assert_eq!((counted(&frames), end), ((0..u64::from(FRAMES)).collect(), AttemptEnd::Completed));
    again.next();
    engine.shut_down(PATIENCE);
}

#[test]
fn a_pad_that_cannot_be_let_go_of_costs_no_source() {
    in_a_process("child_survives_a_dead_lock", "7.1", &[("VISION_STANDIN_RELEASE_DEADLOCK_EVERY", "4")]);
}

#[test]
#[ignore = "a part of a_pad_that_cannot_be_let_go_of_costs_no_source"]
fn child_survives_a_dead_lock() {
    let Some(root) = root() else { return };
    let path = clip(&root, FRAMES, 7);
    let model = starter();
    let engine = engine(&root);
    let longest = cycle(&engine, &path, &model, 6);
    println!("measured: longest gap {} ms with {} places lost", longest.as_millis(), engine.lost_places());
    assert!(engine.lost_places() > 0, "a dead-lock was injected");
    engine.shut_down(PATIENCE);
}

#[test]
fn what_is_wrong_with_an_installation_is_one_sentence() {
    in_a_process("child_refuses_what_it_cannot_read", "7.1", &[("VISION_STANDIN_LAYOUT", "5.1")]);
}

#[test]
#[ignore = "a part of what_is_wrong_with_an_installation_is_one_sentence"]
fn child_refuses_what_it_cannot_read() {
    let Some(root) = root() else { return };
    let path = clip(&root, FRAMES, 7);
    let engine = engine(&root);
    // Libraries of 7.1 that lay their metadata out as 5.1 does.
    let (frames, end, _) = Playing::start(&engine, "street", input(&path, true), Pacing::Live, &starter()).finish();
    assert_eq!(frames.len(), 0);
    assert!(
        matches!(&end, AttemptEnd::Failed(failure) if failure.message.contains("laid out as in 5.0 and 5.1")),
        "{end:?}"
    );

    let mut elsewhere = settings(&root);
    elsewhere.parsers = root.join("nowhere.so");
    elsewhere.cache = root.join("another");
    let blind = DeepStreamEngine::new(&installation(&root), elsewhere).unwrap();
    let (_, end, _) = Playing::start(&blind, "street", input(&path, false), Pacing::Lossless, &starter()).finish();
    assert!(matches!(&end, AttemptEnd::Failed(failure) if failure.message.contains("nowhere.so")), "{end:?}");

    // The other generation's parsers.
    let parsers = root.join("parsers-9.so");
    build_parsers(&parsers, "9");
    let mismatched = DeepStreamSettings { parsers, cache: root.join("third"), ..settings(&root) };
    let mismatched = DeepStreamEngine::new(&installation(&root), mismatched).unwrap();
    let (_, end, _) = Playing::start(&mismatched, "street", input(&path, false), Pacing::Lossless, &starter()).finish();
    assert!(matches!(&end, AttemptEnd::Failed(failure) if failure.message.contains("28 bytes")), "{end:?}");

    let absent = installation(&root.join("nowhere"));
    let message = DeepStreamEngine::new(&absent, settings(&root)).map(drop).unwrap_err().to_string();
    assert!(message.contains("libnvdsgst_meta.so") && !message.contains('\n'), "{message}");
}
