//! What must hold for every scene.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use street_scenes::{Class, Picture, Scene, Settings, SettingsError, TruthObject, barcode};

const FPS: u32 = 10;
/// 20 s.
const LOOP: u32 = 200;

fn settings(seed: u64) -> Settings {
    Settings { seed, width: 256, height: 144, fps: FPS, frames: LOOP }
}

fn render(scene: &Scene, frame: u32) -> Picture {
    let mut picture = Picture::new(scene.settings().width, scene.settings().height);
    scene.render(frame, &mut picture);
    picture
}

/// Greatest difference of the centres of two boxes, as a share of the picture.
fn distance(a: &TruthObject, b: &TruthObject) -> f32 {
    let centre = |object: &TruthObject| (object.x + object.width / 2.0, object.y + object.height / 2.0);
    let ((ax, ay), (bx, by)) = (centre(a), centre(b));
    (ax - bx).abs().max((ay - by).abs())
}

/// Whether the box touches none of the picture's edges, so that clipping does not move its centre.
fn is_whole(object: &TruthObject) -> bool {
    object.x > 0.0 && object.y > 0.0 && object.x + object.width < 1.0 && object.y + object.height < 1.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn truth_is_within_the_picture(seed: u64, frame: u32, width in 32_u32..200, height in 32_u32..150) {
        let scene = Scene::new(&Settings { width: width * 2, height: height * 2, ..settings(seed) }).unwrap();
        let truth = scene.truth(frame);
        let ids: HashSet<u64> = truth.iter().map(|object| object.id).collect();
        prop_assert_eq!(ids.len(), truth.len(), "ids repeat");
        for object in &truth {
            prop_assert!(object.x >= 0.0 && object.y >= 0.0 && object.width > 0.0 && object.height > 0.0, "{object:?}");
            prop_assert!(object.x + object.width <= 1.0001 && object.y + object.height <= 1.0001, "{object:?}");
            prop_assert!((0.0..=1.0).contains(&object.visible), "{object:?}");
        }
    }

    #[test]
    fn the_same_settings_give_the_same_frames(seed: u64, frame in 0..LOOP) {
        let (one, other) = (Scene::new(&settings(seed)).unwrap(), Scene::new(&settings(seed)).unwrap());
        let picture = render(&one, frame);
        // What was drawn before into a picture or by a scene must not show.
        let mut used = render(&other, frame / 2);
        other.render(frame, &mut used);
        prop_assert!(picture == used);
        prop_assert!(picture == render(&one, frame + LOOP));
        prop_assert_eq!(one.truth(frame), other.truth(frame + LOOP));
    }

    #[test]
    fn the_loop_closes(seed in 0_u64..10_000) {
        let scene = Scene::new(&settings(seed)).unwrap();
        let first: HashMap<u64, TruthObject> = scene.truth(0).into_iter().map(|object| (object.id, object)).collect();
        for last in scene.truth(LOOP - 1).iter().filter(|object| is_whole(object)) {
            let next = first.get(&last.id).or_else(|| first.get(&(last.id + 1)));
            // An object may be gone for good only at the end of its way, where it is small.
            let Some(next) = next else {
                prop_assert!(last.height < 0.2, "{last:?} vanished");
                continue;
            };
            prop_assert_eq!(last.class, next.class);
            if is_whole(next) {
                prop_assert!(distance(last, next) < 0.12, "{last:?} jumped to {next:?}");
            }
        }
    }

    #[test]
    fn objects_move_steadily_under_one_id(seed in 0_u64..10_000, frame in 0..LOOP - 1) {
        let scene = Scene::new(&settings(seed)).unwrap();
        let before: HashMap<u64, TruthObject> =
            scene.truth(frame).into_iter().map(|object| (object.id, object)).collect();
        for object in scene.truth(frame + 1) {
            if let Some(earlier) = before.get(&object.id) {
                prop_assert_eq!(earlier.class, object.class);
                if is_whole(earlier) && is_whole(&object) {
                    prop_assert!(distance(earlier, &object) < 0.12, "{earlier:?} jumped to {object:?}");
                }
            }
        }
    }

    #[test]
    fn a_barcode_can_be_read_over_any_scene(seed: u64, number: u64) {
        let scene = Scene::new(&Settings { width: 320, height: 240, ..settings(seed) }).unwrap();
        let mut picture = render(&scene, 3);
        prop_assert_eq!(barcode::read(&picture.y, 320, 320, 240), None);
        barcode::draw(&mut picture, number);
        prop_assert_eq!(barcode::read(&picture.y, 320, 320, 240), Some(number));
    }
}

#[test]
fn scenes_show_every_class_and_objects_that_hide_one_another() {
    let mut classes = HashSet::new();
    let (mut clear, mut partly, mut hidden) = (0, 0, 0);
    for seed in 0..12 {
        let scene = Scene::new(&settings(seed)).unwrap();
        for frame in [0, 70, 140] {
            for object in scene.truth(frame).iter().filter(|object| is_whole(object)) {
                classes.insert(object.class);
                match object.visible {
                    share if share > 0.99 => clear += 1,
                    share if share < 0.05 => hidden += 1,
                    _ => partly += 1,
                }
            }
        }
    }
    assert_eq!(classes.len(), Class::ALL.len(), "{classes:?}");
    assert!(clear > 50 && partly > 50 && hidden > 5, "{clear} clear, {partly} partly hidden, {hidden} hidden");
}

#[test]
fn what_is_visible_changes_the_picture() {
    // Between two frames the picture changes where objects are, and (noise aside) hardly anywhere else.
    let scene = Scene::new(&settings(9)).unwrap();
    let (one, other) = (render(&scene, 10), render(&scene, 14));
    let boxes: Vec<_> = [10, 14].into_iter().flat_map(|frame| scene.truth(frame)).collect();
    let (mut inside, mut outside) = ((0_u64, 0_u64), (0_u64, 0_u64));
    for (index, (a, b)) in one.y.iter().zip(&other.y).enumerate() {
        let (x, y) = ((index % 256) as f32 / 256.0, (index / 256) as f32 / 144.0);
        let covered = boxes.iter().any(|o| (o.x..o.x + o.width).contains(&x) && (o.y..o.y + o.height).contains(&y));
        let sums = if covered { &mut inside } else { &mut outside };
        *sums = (sums.0 + u64::from(a.abs_diff(*b)), sums.1 + 1);
    }
    let mean = |(sum, count): (u64, u64)| sum as f64 / count as f64;
    assert!(mean(inside) > 3.0 * mean(outside), "inside {}, outside {}", mean(inside), mean(outside));
}

#[test]
fn a_picture_of_another_size_is_replaced() {
    let scene = Scene::new(&settings(1)).unwrap();
    let mut picture = Picture::new(64, 64);
    scene.render(0, &mut picture);
    assert!(picture == render(&scene, 0));
}

#[test]
fn impossible_settings_are_refused() {
    let good = settings(1);
    let refused = |settings: Settings| Scene::new(&settings).map(|_| ()).unwrap_err();
    assert_eq!(refused(Settings { width: 255, ..good.clone() }), SettingsError::Size { width: 255, height: 144 });
    assert_eq!(
        refused(Settings { height: 62, ..good.clone() }).to_string(),
        "a scene of 256x62 cannot be drawn: width and height must be even and from 64 to 8192"
    );
    assert_eq!(
        refused(Settings { fps: 0, ..good.clone() }).to_string(),
        "a scene at 0 frames per second cannot be drawn: ask for 1 to 240"
    );
    assert_eq!(refused(Settings { frames: 0, ..good }), SettingsError::NoFrames);
}

#[test]
fn classes_have_the_names_that_they_serialize_to() {
    for class in Class::ALL {
        assert_eq!(format!("{class:?}").to_lowercase(), class.name());
    }
    assert_eq!(Class::ALL.map(|class| class as usize), [0, 1, 2, 3, 4]);
}
