//! The engine on DeepStream against a stand-in for it, in every version; DeepStream itself is not needed, and not
//! tested by this.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod deepstream;

use std::{sync::Arc, time::Duration};

use analytics_pod::{
    engine::{
        AttemptEnd, Engine, InferredFrame,
        native::{NativeEngine, NativeSettings},
    },
    observation::Detection,
    source::{Pacing, Reason},
};
use deepstream::{PATIENCE, Playing, VERSIONS, clip, drops, engine, in_a_process, input, installation, root, starter};

const FRAMES: u32 = 60;

/// How many of `ours` have a partner of their own in `theirs`: of the class, and of nearly the same box.
fn matched(ours: &[Detection], theirs: &[Detection]) -> usize {
    let mut left: Vec<&Detection> = theirs.iter().collect();
    ours.iter()
        .filter(|detection| {
            let partner = left.iter().position(|other| {
                other.class == detection.class && other.bounding_box.iou(&detection.bounding_box) >= 0.95
            });
            partner.map(|index| left.swap_remove(index)).is_some()
        })
        .count()
}

fn objects(frames: &[InferredFrame]) -> usize {
    frames.iter().map(|frame| frame.detections.len()).sum()
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
    assert!(found.iter().all(|frame| (frame.width, frame.height) == (640, 360)));
    let same: usize =
        found.iter().zip(&expected).map(|(found, expected)| matched(&found.detections, &expected.detections)).sum();
    let (found, expected) = (objects(&found), objects(&expected));
    println!("measured: {same} of {expected} objects of native and {found} of DeepStream match");
    assert!(expected > 50, "there is something to see: {expected}");
    let share = same as f64 / found.max(expected) as f64;
    assert!(share >= 0.995, "{same} of {found} and {expected} match");
}
