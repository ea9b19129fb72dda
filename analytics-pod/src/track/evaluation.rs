//! How well ids hold, measured on the simulator's ground truth.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use street_scenes::{Scene, Settings as SceneSettings, TruthObject};
use trackforge::trackers::{
    byte_track::{ByteTrack, ByteTrackParams},
    common::CommonParams,
    ocsort::{OcSort, OcSortParams},
    tracktrack::{TrackTrack, TrackTrackParams},
};

use super::{PICTURE_HEIGHT, Settings, Tracker};
use crate::observation::{Detection, NormalizedBox};

/// Objects of which less is visible are neither detected nor asked for.
const MIN_VISIBLE: f32 = 0.3;

/// Overlap from which a published box is the object.
const MATCH_IOU: f32 = 0.5;

const ASPECT_RATIO: f32 = 16.0 / 9.0;

/// One frame's boxes with their ids.
type Frame = Vec<(u64, NormalizedBox)>;

/// IDF1 (Ristani et al., arXiv 1609.01775): the harmonic mean of identity precision and recall under the best one-to-one
/// assignment of published ids to true ids over the whole sequence.
fn idf1(truth: &[Frame], published: &[Frame]) -> f64 {
    let indices = |frames: &[Frame]| -> BTreeMap<u64, usize> {
        let ids: BTreeSet<u64> = frames.iter().flatten().map(|(id, _)| *id).collect();
        ids.into_iter().enumerate().map(|(index, id)| (id, index)).collect()
    };
    let (rows, columns) = (indices(truth), indices(published));
    let mut common = vec![vec![0.0; columns.len().max(rows.len())]; rows.len()];
    for (truth, published) in truth.iter().zip(published) {
        for (true_id, true_box) in truth {
            for (id, _) in published.iter().filter(|(_, found)| found.iou(true_box) >= MATCH_IOU) {
                common[rows[true_id]][columns[id]] += 1.0;
            }
        }
    }
    let matched = best_assignment(&common);
    let boxes = |frames: &[Frame]| frames.iter().map(Vec::len).sum::<usize>();
    2.0 * matched / (boxes(truth) + boxes(published)) as f64
}

/// The largest sum of `values` that one-to-one assignment of rows to columns reaches; no more rows than columns.
///
/// The Hungarian method with potentials, one row at a time along the shortest augmenting path (Jonker and Volgenant,
/// doi 10.1007/BF02278710). Row and column 0 stand for "none".
fn best_assignment(values: &[Vec<f64>]) -> f64 {
    let (rows, columns) = (values.len(), values.first().map_or(0, Vec::len));
    let mut row_potential = vec![0.0; rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut row_of = vec![0; columns + 1];
    for row in 1..=rows {
        let mut nearest = vec![f64::INFINITY; columns + 1];
        let mut before = vec![0; columns + 1];
        let mut visited = vec![false; columns + 1];
        let mut at = 0;
        row_of[0] = row;
        while row_of[at] != 0 {
            visited[at] = true;
            let from = row_of[at];
            for column in (1..=columns).filter(|&column| !visited[column]) {
                let cost = -values[from - 1][column - 1] - row_potential[from] - column_potential[column];
                if cost < nearest[column] {
                    nearest[column] = cost;
                    before[column] = at;
                }
            }
            let free = (1..=columns).filter(|&column| !visited[column]);
            let next = free.min_by(|&a, &b| nearest[a].total_cmp(&nearest[b])).unwrap();
            let step = nearest[next];
            for column in 0..=columns {
                if visited[column] {
                    row_potential[row_of[column]] += step;
                    column_potential[column] -= step;
                } else {
                    nearest[column] -= step;
                }
            }
            at = next;
        }
        while at != 0 {
            row_of[at] = row_of[before[at]];
            at = before[at];
        }
    }
    (1..=columns).filter(|&column| row_of[column] != 0).map(|column| values[row_of[column] - 1][column - 1]).sum()
}

/// A scene's truth at one frame rate, and what an imperfect detector makes of it.
struct Sequence {
    fps: u32,
    truth: Vec<Frame>,
    detections: Vec<Vec<Detection>>,
}

impl Sequence {
    fn new(seed: u64, fps: u32, seconds: u32) -> Self {
        let settings = SceneSettings { seed, width: 640, height: 360, fps, frames: fps * seconds };
        let scene = Scene::new(&settings).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut truth, mut detections) = (Vec::new(), Vec::new());
        for number in 0..settings.frames {
            let mut objects = scene.truth(number);
            objects.retain(|object| object.visible >= MIN_VISIBLE);
            detections.push(detect(&objects, &mut random));
            truth.push(objects.iter().map(|object| (object.id, true_box(object))).collect());
        }
        Self { fps, truth, detections }
    }

    /// IDF1 of what `ids` makes of the detections; it is told the time in seconds.
    fn score(&self, mut ids: impl FnMut(f64, &[Detection]) -> Vec<Option<u64>>) -> f64 {
        let published: Vec<Frame> = self
            .detections
            .iter()
            .enumerate()
            .map(|(number, detections)| {
                let ids = ids(number as f64 / f64::from(self.fps), detections);
                ids.iter().zip(detections).filter_map(|(id, d)| Some(((*id)?, d.bounding_box))).collect()
            })
            .collect();
        idf1(&self.truth, &published)
    }

    fn score_ours(&self) -> f64 {
        let mut tracker = Tracker::new(&Settings::default());
        self.score(|time, detections| tracker.update(timestamp(time), ASPECT_RATIO, detections))
    }

    /// For the crate's trackers, which count frames: `track` gets boxes, scores and classes and gives, for each track in
    /// the frame, its detection and its id.
    fn score_crate(&self, mut track: impl FnMut(Vec<([f32; 4], f32, i64)>) -> Vec<(Option<usize>, u64)>) -> f64 {
        self.score(|_, detections| {
            let boxes = detections.iter().map(|detection| {
                let b = detection.bounding_box;
                let width = PICTURE_HEIGHT * ASPECT_RATIO;
                let tlwh = [b.x * width, b.y * PICTURE_HEIGHT, b.width * width, b.height * PICTURE_HEIGHT];
                (tlwh, detection.confidence, i64::from(detection.class))
            });
            let mut ids = vec![None; detections.len()];
            for (index, id) in track(boxes.collect()) {
                if let Some(slot) = index.and_then(|index| ids.get_mut(index)) {
                    *slot = Some(id);
                }
            }
            ids
        })
    }
}

fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + (seconds * 1e6) as i64).unwrap()
}

fn true_box(object: &TruthObject) -> NormalizedBox {
    NormalizedBox { x: object.x, y: object.y, width: object.width, height: object.height }
}

/// Boxes with 2 % of noise; 3 % of them are missing, up to 18 % with less to see; confidence falls with what is hidden;
/// in 3 % of frames there is something that is not there, and 3 % of cars are taken for trucks.
fn detect(objects: &[TruthObject], random: &mut ChaCha8Rng) -> Vec<Detection> {
    let mut detections = Vec::new();
    for object in objects {
        let hidden = 1.0 - object.visible;
        let mut noise = |size: f32| size * ((0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0);
        let bounding_box = NormalizedBox {
            x: object.x + noise(0.02) * object.width,
            y: object.y + noise(0.02) * object.height,
            width: object.width * (1.0 + noise(0.02)),
            height: object.height * (1.0 + noise(0.02)),
        };
        let confidence = (0.92 - 0.45 * hidden + noise(0.05)).clamp(0.31, 0.99);
        let car = street_scenes::Class::Car;
        let taken_for_truck = random.random_bool(0.03) && object.class == car;
        let class = if taken_for_truck { street_scenes::Class::Truck } else { object.class };
        if random.random_bool(f64::from(0.97 - 0.15 * hidden)) {
            detections.push(Detection { class: class as u32, confidence, bounding_box });
        }
    }
    if random.random_bool(0.03) {
        let height = random.random_range(0.06..0.2);
        let (x, y) = (random.random_range(0.0..0.9), random.random_range(0.2..0.8));
        let bounding_box = NormalizedBox { x, y, width: height * 0.25, height };
        detections.push(Detection { class: 0, confidence: random.random_range(0.31..0.6), bounding_box });
    }
    detections.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    detections
}

fn byte_track(sequence: &Sequence, params: ByteTrackParams) -> f64 {
    let mut tracker = ByteTrack::from_params(params);
    sequence.score_crate(|boxes| tracker.update(boxes).iter().map(|t| (t.det_ind, t.track_id)).collect())
}

fn byte_track_remembering(sequence: &Sequence, memory: u32) -> f64 {
    let common = CommonParams { max_age: (memory * sequence.fps) as usize, min_hits: 1 };
    byte_track(sequence, ByteTrackParams { common, track_thresh: 0.3, det_thresh: 0.3, ..ByteTrackParams::default() })
}

fn track_track(sequence: &Sequence, memory: u32) -> f64 {
    let common = CommonParams { max_age: (memory * sequence.fps) as usize, min_hits: 1 };
    let params = TrackTrackParams { common, det_thresh: 0.5, init_thresh: 0.5, ..TrackTrackParams::default() };
    let mut tracker = TrackTrack::from_params(params);
    sequence.score_crate(|boxes| tracker.update(boxes, &[]).iter().map(|t| (t.det_ind, t.track_id)).collect())
}

fn oc_sort(sequence: &Sequence, memory: u32) -> f64 {
    let common = CommonParams { max_age: (memory * sequence.fps) as usize, min_hits: 1 };
    let mut tracker = OcSort::from_params(OcSortParams { common, iou_threshold: 0.2, ..OcSortParams::default() });
    sequence.score_crate(|boxes| tracker.update(boxes).iter().map(|t| (t.det_ind, t.track_id)).collect())
}

fn mean(sequences: &[Sequence], score: impl Fn(&Sequence) -> f64) -> f64 {
    sequences.iter().map(score).sum::<f64>() / sequences.len() as f64
}

#[test]
fn the_best_assignment_is_not_the_greedy_one() {
    let sum = best_assignment(&[vec![10.0, 9.0, 0.0], vec![9.0, 1.0, 0.0]]);
    assert!((sum - 18.0).abs() < 1e-9, "{sum}");
    let sum = best_assignment(&[vec![0.0, 5.0, 3.0], vec![1.0, 6.0, 2.0], vec![2.0, 7.0, 4.0]]);
    assert!((sum - 11.0).abs() < 1e-9, "{sum}");
    assert!(best_assignment(&[]).abs() < 1e-9);
}

fn square(x: f32) -> NormalizedBox {
    NormalizedBox { x, y: 0.0, width: 0.1, height: 0.1 }
}

#[test]
fn idf1_of_known_cases() {
    let truth: Vec<Frame> = (0..10).map(|_| vec![(7, square(0.0)), (8, square(0.5))]).collect();
    let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    close(idf1(&truth, &truth), 1.0);
    let renamed: Vec<Frame> = truth.iter().map(|frame| frame.iter().map(|(id, b)| (id + 100, *b)).collect()).collect();
    close(idf1(&truth, &renamed), 1.0);
    // One of the two ids changes in the middle: only half of its frames count.
    let mut broken = truth.clone();
    for frame in broken.iter_mut().skip(5) {
        frame[0].0 = 9;
    }
    close(idf1(&truth, &broken), 0.75);
    // Nothing of one object: 10 matched of 20 true and 10 published.
    let missing: Vec<Frame> = truth.iter().map(|frame| frame[..1].to_vec()).collect();
    close(idf1(&truth, &missing), 2.0 / 3.0);
    let elsewhere: Vec<Frame> = truth.iter().map(|_| vec![(7, square(0.8))]).collect();
    close(idf1(&truth, &elsewhere), 0.0);
}

#[test]
fn ids_hold_through_occlusions() {
    let sequences: Vec<_> = [301, 302, 303].map(|seed| Sequence::new(seed, 15, 20)).into();
    let ours = mean(&sequences, Sequence::score_ours);
    let byte_track = mean(&sequences, |sequence| byte_track_remembering(sequence, 5));
    assert!(ours >= 0.90, "IDF1 {ours:.3}");
    assert!(ours > byte_track, "IDF1 {ours:.3}, ByteTrack's {byte_track:.3}");
}

#[test]
fn a_slow_frame_rate_does_not_cost_ids() {
    let sequences: Vec<_> = [301, 302, 303].map(|seed| Sequence::new(seed, 5, 20)).into();
    let ours = mean(&sequences, Sequence::score_ours);
    assert!(ours >= 0.90, "IDF1 {ours:.3}");
}

/// Prints the table of the module's documentation too:
/// `cargo test --release -p analytics-pod --lib -- --ignored --nocapture no_other`.
#[test]
#[ignore = "takes a minute"]
fn no_other_tracker_keeps_its_ids_at_every_rate() {
    let rates = [30, 15, 10, 5].map(|fps| [100, 101, 102, 103].map(|seed| Sequence::new(seed, fps, 40)));
    let row = |name: &str, score: &dyn Fn(&Sequence) -> f64| {
        let scores = rates.each_ref().map(|sequences| mean(sequences, score));
        println!("| {name} | {} |", scores.map(|score| format!("{score:.3}")).join(" | "));
        scores
    };
    println!("| tracker | 30 fps | 15 fps | 10 fps | 5 fps |");
    let others = [
        row("ByteTrack, its defaults", &|sequence| byte_track(sequence, ByteTrackParams::default())),
        row("ByteTrack, 5 s of memory", &|sequence| byte_track_remembering(sequence, 5)),
        row("TrackTrack, 5 s of memory", &|sequence| track_track(sequence, 5)),
        row("OC-SORT, 5 s of memory", &|sequence| oc_sort(sequence, 5)),
    ];
    let ours = row("this one", &Sequence::score_ours);
    let worst = |scores: [f64; 4]| scores.into_iter().fold(1.0, f64::min);
    assert!(worst(ours) >= 0.90, "{ours:?}");
    assert!(others.into_iter().all(|other| worst(other) < 0.90), "{others:?}");
}
