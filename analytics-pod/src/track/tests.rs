use proptest::prelude::*;

use super::*;
use crate::observation::NormalizedBox;

const ASPECT_RATIO: f32 = 16.0 / 9.0;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + (seconds * 1e6) as i64).unwrap()
}

fn person(x: f32, confidence: f32) -> Detection {
    Detection { class: 0, confidence, bounding_box: NormalizedBox { x, y: 0.3, width: 0.08, height: 0.4 } }
}

fn tracker() -> Tracker {
    Tracker::new(&Settings::default())
}

/// The ids of what is seen of a person who walks at `speed` picture widths a second, by frame; `None` where hidden.
fn walk(tracker: &mut Tracker, fps: f64, frames: u32, speed: f64, hidden: impl Fn(f64) -> bool) -> Vec<Option<u64>> {
    (0..frames)
        .map(|frame| f64::from(frame) / fps)
        .map(|time| {
            let seen = if hidden(time) { vec![] } else { vec![person((0.05 + speed * time) as f32, 0.9)] };
            tracker.update(at(time), ASPECT_RATIO, &seen).first().copied().flatten()
        })
        .collect()
}

#[test]
fn an_object_keeps_its_id_at_any_frame_rate() {
    for fps in [2.0, 5.0, 15.0, 29.97, 60.0] {
        let ids = walk(&mut tracker(), fps, (5.0 * fps) as u32, 0.05, |_| false);
        assert!(ids.iter().all(|id| *id == Some(1)), "{fps} fps: {ids:?}");
    }
}

#[test]
fn an_object_keeps_its_id_behind_another() {
    for fps in [5.0, 15.0, 30.0] {
        let hidden = |time: f64| (2.0..4.0).contains(&time);
        let ids = walk(&mut tracker(), fps, (8.0 * fps) as u32, 0.08, hidden);
        assert!(ids.iter().flatten().all(|id| *id == 1), "{fps} fps: {ids:?}");
        assert_eq!(ids.last(), Some(&Some(1)));
    }
}

#[test]
fn an_object_out_of_sight_for_longer_than_the_memory_is_a_new_one() {
    let mut tracker = Tracker::new(&Settings { memory: 1.0 });
    let ids = walk(&mut tracker, 10.0, 60, 0.0, |time| (2.0..4.0).contains(&time));
    assert_eq!((ids[0], ids[59]), (Some(1), Some(2)));
}

#[test]
fn a_pause_of_the_stream_counts_as_time() {
    let mut tracker = tracker();
    for frame in 0..10 {
        tracker.update(at(f64::from(frame) / 10.0), ASPECT_RATIO, &[person(0.4, 0.9)]);
    }
    assert_eq!(tracker.update(at(3.0), ASPECT_RATIO, &[person(0.4, 0.9)]), [Some(1)]);
    assert_eq!(tracker.update(at(60.0), ASPECT_RATIO, &[person(0.4, 0.9)]), [Some(2)]);
}

#[test]
fn a_weak_detection_gets_its_id_at_second_sight() {
    let mut tracker = tracker();
    assert_eq!(tracker.update(at(0.0), ASPECT_RATIO, &[person(0.4, 0.35)]), [None]);
    assert_eq!(tracker.update(at(0.1), ASPECT_RATIO, &[person(0.4, 0.35)]), [Some(1)]);
    assert_eq!(tracker.update(at(0.2), ASPECT_RATIO, &[person(0.4, 0.1)]), [Some(1)]);
}

#[test]
fn a_second_box_of_an_object_gets_no_id() {
    let mut tracker = tracker();
    tracker.update(at(0.0), ASPECT_RATIO, &[person(0.4, 0.9)]);
    assert_eq!(tracker.update(at(0.1), ASPECT_RATIO, &[person(0.4, 0.9), person(0.41, 0.7)]), [Some(1), None]);
}

#[test]
fn another_class_for_a_moment_is_the_same_object() {
    let mut tracker = tracker();
    let truck = Detection { class: 2, ..person(0.4, 0.9) };
    tracker.update(at(0.0), ASPECT_RATIO, &[person(0.4, 0.9)]);
    assert_eq!(tracker.update(at(0.1), ASPECT_RATIO, &[truck]), [Some(1)]);
    assert_eq!(tracker.update(at(0.2), ASPECT_RATIO, &[person(0.4, 0.9)]), [Some(1)]);
}

#[test]
fn neighbours_of_two_classes_do_not_change_places() {
    let mut tracker = tracker();
    let bicycle = |x: f32| Detection { class: 3, ..person(x, 0.9) };
    tracker.update(at(0.0), ASPECT_RATIO, &[person(0.40, 0.9), bicycle(0.42)]);
    // Each box is now exactly where the other was.
    assert_eq!(
        tracker.update(at(0.1), ASPECT_RATIO, &[person(0.42, 0.9), bicycle(0.40)]),
        [Some(1), Some(2)],
        "the class decides between neighbours"
    );
}

#[test]
fn a_clock_that_is_set_back_costs_no_ids() {
    let mut tracker = tracker();
    tracker.update(at(100.0), ASPECT_RATIO, &[person(0.4, 0.9)]);
    tracker.update(at(100.1), ASPECT_RATIO, &[person(0.4, 0.9)]);
    assert_eq!(tracker.update(at(0.0), ASPECT_RATIO, &[person(0.4, 0.9)]), [Some(1)]);
}

#[test]
fn what_left_the_picture_does_not_come_back() {
    let mut tracker = tracker();
    for frame in 0..10 {
        let x = 0.8 + 0.02 * frame as f32;
        tracker.update(at(f64::from(frame) / 10.0), ASPECT_RATIO, &[person(x, 0.9)]);
    }
    for frame in 10..20 {
        tracker.update(at(f64::from(frame) / 10.0), ASPECT_RATIO, &[]);
    }
    assert!(tracker.tracks.is_empty());
}

fn any_detection() -> impl Strategy<Value = Detection> {
    let number = prop_oneof![
        8 => -0.5_f32..1.5,
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => Just(0.0),
        1 => Just(1e-30),
        1 => Just(-1e30),
    ];
    (0_u32..3, 0.0_f32..1.0, proptest::array::uniform4(number)).prop_map(
        |(class, confidence, [x, y, width, height])| Detection {
            class,
            confidence,
            bounding_box: NormalizedBox { x, y, width, height },
        },
    )
}

proptest! {
    #[test]
    fn ids_are_unique_in_a_frame_and_given_in_order(
        frames in proptest::collection::vec((-1.0_f64..3.0, proptest::collection::vec(any_detection(), 0..12)), 1..30),
    ) {
        let mut tracker = tracker();
        let mut time = 0.0;
        let mut highest = 0;
        for (elapsed, detections) in frames {
            time += elapsed;
            let ids = tracker.update(at(time), ASPECT_RATIO, &detections);
            prop_assert_eq!(ids.len(), detections.len());
            let mut given: Vec<_> = ids.into_iter().flatten().collect();
            given.sort_unstable();
            let count = given.len();
            given.dedup();
            prop_assert_eq!(given.len(), count);
            let fresh: Vec<_> = given.into_iter().filter(|id| *id > highest).collect();
            let expected: Vec<_> = (highest + 1..=highest + fresh.len() as u64).collect();
            prop_assert_eq!(&fresh, &expected);
            highest += fresh.len() as u64;
        }
    }

    #[test]
    fn the_same_frames_give_the_same_ids(
        frames in proptest::collection::vec(proptest::collection::vec(any_detection(), 0..8), 1..15),
    ) {
        let run = || {
            let mut tracker = tracker();
            frames.iter().enumerate().map(|(n, d)| tracker.update(at(n as f64 / 10.0), ASPECT_RATIO, d)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_flood_of_detections_is_bounded() {
    let mut tracker = tracker();
    for frame in 0..20_u16 {
        let detections: Vec<_> = (0..300_u16)
            .map(|n| {
                let (x, y) = (f32::from((n * 7 + frame * 13) % 100) / 100.0, f32::from(n / 10) / 30.0);
                let bounding_box = NormalizedBox { x, y, width: 0.005, height: 0.01 };
                Detection { class: 0, confidence: 0.9, bounding_box }
            })
            .collect();
        tracker.update(at(f64::from(frame) / 30.0), ASPECT_RATIO, &detections);
        assert!(tracker.tracks.len() <= MAX_TRACKS);
    }
}
